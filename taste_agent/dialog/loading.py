"""Loading a checkpoint for inference: device, number type, fast paths."""

import torch

from taste_speech import TasteForCausalLM, TasteProcessor
from taste_speech.acceleration import Acceleration, accelerate


def load_checkpoint(
    name: str, device: torch.device, dtype: str = "auto", static_shapes: bool | None = None
) -> tuple[TasteForCausalLM, TasteProcessor]:
    """A model on its device with its fast paths on, and its processor with the voice generator loaded.

    Args:
        name: shipped name, folder or hub id.
        device: where it runs.
        dtype: of the large parts, as `number_type` takes it.
        static_shapes: see `Acceleration`.

    Raises:
        TasteError: the checkpoint cannot be loaded; ValueError: int8 on another device than the CPU.
    """
    number = number_type(dtype, device)
    weights = torch.float32 if number == "int8" else getattr(torch, number)
    model = TasteForCausalLM.from_pretrained(name, dtype=weights).to(device).eval()
    processor = TasteProcessor.from_pretrained(name, asr_device=device)
    linear = Acceleration(static_shapes=static_shapes, linear="int8" if number == "int8" else "as_is")
    accelerate(model, processor.get_generator(device), linear)
    return model, processor


def number_type(dtype: str, device: torch.device) -> str:
    """What `auto` stands for on a device: bfloat16 on CUDA, else float32; any other name as it is."""
    if dtype != "auto":
        return dtype
    return "bfloat16" if device.type == "cuda" else "float32"
