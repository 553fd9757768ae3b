"""Loading a checkpoint for inference: device, number type, fast paths.

Importing this takes PyTorch and nothing else that is heavy.
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

import torch

from taste_agent.config import ModelSettings
from taste_agent.errors import AgentError
from taste_speech.cpu import can_pack

if TYPE_CHECKING:
    from taste_speech import TasteForCausalLM, TasteProcessor
    from taste_speech.acceleration import Acceleration

SMALL_MODEL_PARAMETERS = 50_000_000
THREADS_OF_SMALL_MODEL = 2
CORES = torch.get_num_threads()
"""What PyTorch takes by itself, read before anything changes it."""


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


def load_model(settings: ModelSettings, speaks: bool = True) -> tuple[TasteForCausalLM, TasteProcessor]:
    """Model and processor as all of `settings` say; `speaks` as for `load_checkpoint`.

    Raises:
        TasteError: the checkpoint cannot be loaded.
        AgentError: the device is not there, or cannot compute with this number type.
    """
    device = device_of(settings)
    model, processor = load_checkpoint(settings.checkpoint, device, settings.dtype, settings.compiled, speaks)
    use_threads(model, settings.threads)
    return model, processor


def use_threads(model: TasteForCausalLM, threads: int) -> None:
    """Set the number of CPU threads of PyTorch; 0: at most two for a small model, and one core for the sound.

    Threads that share a tensor wait for each other, so one that has lost its core holds up all. In a talk on
    two cores a chunk of speech took 200 to 340 ms with one thread and 300 to 570 ms with two; beside two busy
    processes the first audio of a replay took 0.4 s and 8 s. Replay and bench run as chat does.

    Single rows of small matrices take one thread in any case (`cpu_threads`). More than two were not
    measured.
    """
    small = model.device.type == "cpu" and model.num_parameters() < SMALL_MODEL_PARAMETERS
    free = max(1, CORES - 1)
    torch.set_num_threads(threads or (min(THREADS_OF_SMALL_MODEL, free) if small else free))


def load_checkpoint(
    name: str,
    device: torch.device,
    dtype: str = "auto",
    compiled: bool = False,
    speaks: bool = True,
) -> tuple[TasteForCausalLM, TasteProcessor]:
    """A model on its device with its fast paths on, and its processor; the voice generator is loaded.

    Args:
        name: shipped name, folder or hub id.
        device: where it runs.
        dtype: of the large parts, as `number_type` takes it.
        compiled: see `Acceleration`.
        speaks: False leaves the voice generator alone, for what only listens.

    Raises:
        TasteError: the checkpoint cannot be loaded; ValueError: int8 on another device than the CPU.
    """
    from taste_speech import TasteForCausalLM, TasteProcessor
    from taste_speech.acceleration import accelerate

    number = number_type(dtype, device)
    weights = getattr(torch, loaded_type(number, device))
    model = TasteForCausalLM.from_pretrained(name, dtype=weights).to(device).eval()
    processor = TasteProcessor.from_pretrained(name, asr_device=device)
    accelerate(model, model.voice if speaks else None, fast_paths(number, device, compiled))
    _give_back_freed_memory()
    return model, processor


def fast_paths(number: str, device: torch.device, compiled: bool) -> Acceleration:
    """The fast paths for a number type, as `number_type` returns it."""
    from taste_speech.acceleration import Acceleration

    linear: Literal["as_is", "float16", "int8"] = "as_is"
    if number == "int8":
        linear = "int8"
    elif number == "float16" and device.type == "cpu":
        linear = "float16"
    return Acceleration(compiled=compiled, linear=linear)


def number_type(dtype: str, device: torch.device) -> str:
    """What `auto` stands for on a device; any other name as it is.

    On a CPU that multiplies by them as they are, weights are float16: half the memory of float32 and a third
    of the time of a step, with the same answers. Elsewhere it is bfloat16 on CUDA, else float32.
    """
    if dtype != "auto":
        return dtype
    if device.type == "cpu":
        return "float16" if can_pack() else "float32"
    return "bfloat16" if device.type == "cuda" else "float32"


def loaded_type(number: str, device: torch.device) -> str:
    """The type that the large parts are loaded as: on the CPU, smaller weights are made of float32 ones."""
    return "float32" if number == "int8" or (number == "float16" and device.type == "cpu") else number


def _give_back_freed_memory() -> None:
    """Return to the system what loading took for a moment; glibc keeps it otherwise (100 MB of them)."""
    if sys.platform == "linux":
        with suppress(AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)
