"""TASTE: text-aligned speech tokenization and embedding, in batch and streaming form.

Importing the package is cheap: names are loaded on first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taste_speech.configuration_taste import TasteConfig
    from taste_speech.errors import AudioError, CheckpointError, TasteError, TextError
    from taste_speech.modeling_taste import TasteForCausalLM
    from taste_speech.processing_taste import TasteProcessor
    from taste_speech.vocoder.voice_generator import VoiceGenerator

__all__ = [
    "AudioError",
    "CheckpointError",
    "TasteConfig",
    "TasteError",
    "TasteForCausalLM",
    "TasteProcessor",
    "TextError",
    "VoiceGenerator",
]

_MODULES = {
    "AudioError": "errors",
    "CheckpointError": "errors",
    "TasteConfig": "configuration_taste",
    "TasteError": "errors",
    "TasteForCausalLM": "modeling_taste",
    "TasteProcessor": "processing_taste",
    "TextError": "errors",
    "VoiceGenerator": "vocoder.voice_generator",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
