"""TASTE: text-aligned speech tokenization and embedding, in batch and streaming form.

Importing the package is cheap: names are loaded on first use.

So `import taste_speech` alone does not make the automatic classes of transformers know the model type
`taste`: they can be told about classes only, and these need torch. The import of a name does it:
`TasteConfig` for `AutoConfig`, `TasteForCausalLM` for `AutoModelForCausalLM`, `TasteProcessor` for
`AutoProcessor`::

    from taste_speech import TasteForCausalLM, TasteProcessor
    from transformers import AutoModelForCausalLM, AutoProcessor

(Registering from an import hook fails where transformers imports its automatic classes in the middle of its
own modules, which ours then find half loaded.)
"""

import importlib
from typing import TYPE_CHECKING, Any

from taste_speech.collector_pause import collector_paused

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
    with collector_paused():
        module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
