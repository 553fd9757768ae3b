"""Loading a checkpoint for inference: device, number type, fast paths.

Importing this loads PyTorch, but no other heavy package.
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
"""PyTorch's own choice of threads, read before anything changes it."""


def device_of(settings: ModelSettings) -> torch.device:
    """Return the device of the settings.

    Raises:
        AgentError: it is not available, or does not support the number type.
    """
    device = choose_device(settings.device)
    if settings.dtype == "int8" and device.type != "cpu":
        raise AgentError(
            f"model.dtype int8 works on the CPU only, and the model would run on {device.type}; "
            "give --device cpu, or leave model.dtype at auto"
        )
    return device


def choose_device(name: str) -> torch.device:
    """Return the named device; `auto` prefers CUDA, then MPS, then the CPU.

    Raises:
        AgentError: the device is not available.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if there[kind]))
    if not there[name]:
        usable = ", ".join(kind for kind, is_there in there.items() if is_there)
        raise AgentError(f"device {name} is not available here; use one of: {usable}")
    return torch.device(name)


def load_model(settings: ModelSettings, speaks: bool = True) -> tuple[TasteForCausalLM, TasteProcessor]:
    """Load model and processor by the settings; see `load_checkpoint`.

    Raises:
        TasteError: the checkpoint cannot be loaded.
        AgentError: the device is not available, or does not support the number type.
    """
    device = device_of(settings)
    model, processor = load_checkpoint(settings.checkpoint, device, settings.dtype, settings.compiled, speaks)
    use_threads(model, settings.threads)
    return model, processor


def use_threads(model: TasteForCausalLM, threads: int) -> None:
    """Set the number of PyTorch's CPU threads; 0 leaves one core free and takes two for a small model.

    Threads that share a tensor wait for the slowest, so more threads than free cores are harmful: beside two
    busy processes on two cores, the first audio of a replay took 0.4 s with one thread and 8 s with two.
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
    """Load a model with its fast paths onto a device, and its processor.

    Args:
        name: shipped name, folder or hub id.
        dtype: number type of the large parts; see `number_type`.
        compiled: see `Acceleration`.
        speaks: whether to load the voice generator.

    Raises:
        TasteError: the checkpoint cannot be loaded.
        ValueError: int8 on another device than the CPU.
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
    """Return the fast paths for a number type returned by `number_type`."""
    from taste_speech.acceleration import Acceleration

    linear: Literal["as_is", "float16", "int8"] = "as_is"
    if number == "int8":
        linear = "int8"
    elif number == "float16" and device.type == "cpu":
        linear = "float16"
    return Acceleration(compiled=compiled, linear=linear)


def number_type(dtype: str, device: torch.device) -> str:
    """Return the number type for a device if `dtype` is `auto`, else `dtype`.

    On a CPU that can multiply by float16 weights, that type takes half the memory of float32 and a third of
    the time of a step, with the same answers. CUDA takes bfloat16, all other devices float32.
    """
    if dtype != "auto":
        return dtype
    if device.type == "cpu":
        return "float16" if can_pack() else "float32"
    return "bfloat16" if device.type == "cuda" else "float32"


def loaded_type(number: str, device: torch.device) -> str:
    """Return the type to load the large parts as; on the CPU, smaller weights are made from float32."""
    return "float32" if number == "int8" or (number == "float16" and device.type == "cpu") else number


def _give_back_freed_memory() -> None:
    """Return memory that loading has freed to the system; glibc would keep about 100 MB."""
    if sys.platform == "linux":
        with suppress(AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)
