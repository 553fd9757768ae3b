"""Fast paths: the same results from static shapes, CUDA graphs and fewer waits for the device.

`accelerate(model, generator)` switches them on; everything else goes on as before. Names are loaded on first
use, because the parts that can be accelerated import the settings.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taste_speech.acceleration.apply import accelerate, decelerate
    from taste_speech.acceleration.settings import Acceleration

__all__ = ["Acceleration", "accelerate", "decelerate"]

_MODULES = {"Acceleration": "settings", "accelerate": "apply", "decelerate": "apply"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
