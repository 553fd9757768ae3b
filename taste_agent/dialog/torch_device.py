"""Where a model runs. Importing this takes PyTorch and nothing else."""

import torch

from taste_agent.config import ModelSettings
from taste_agent.errors import AgentError


def device_of(settings: ModelSettings) -> torch.device:
    """Return the device that the settings name.

    Raises:
        AgentError: it is not there, or cannot compute with the number type of the settings.
    """
    device = choose_device(settings.device)
    if settings.dtype == "int8" and device.type != "cpu":
        raise AgentError(
            f"model.dtype int8 works on the CPU only, and the model would run on {device.type}; "
            "give --device cpu, or leave model.dtype at auto"
        )
    return device


def choose_device(name: str) -> torch.device:
    """The device of a setting; `auto` takes CUDA, then MPS, then the CPU.

    Raises:
        AgentError: the device is not there.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if there[kind]))
    if not there[name]:
        usable = ", ".join(kind for kind, is_there in there.items() if is_there)
        raise AgentError(f"device {name} is not available here; use one of: {usable}")
    return torch.device(name)
