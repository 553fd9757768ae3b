"""TASTE: text-aligned speech tokenization and embedding, in batch and streaming form.

Importing the package is cheap: names are loaded on first use.

`import taste_speech` alone does not register the model type `taste` with transformers, because that needs
torch. Importing a class registers it: `TasteConfig` with `AutoConfig`, `TasteForCausalLM` with
`AutoModelForCausalLM`, `TasteProcessor` with `AutoProcessor`::

    from taste_speech import TasteForCausalLM, TasteProcessor
    from transformers import AutoModelForCausalLM, AutoProcessor
"""

import gc
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause garbage collection inside the block.

    Importing torch and transformers creates about 350,000 objects that stay. The dozens of collections that
    Python would run meanwhile scan all of them, which takes a quarter of the time and blocks other threads.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with collector_paused():
        module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
