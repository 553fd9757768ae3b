"""Switching the fast paths of a loaded checkpoint on and off."""

from typing import TYPE_CHECKING

import torch

from taste_speech.acceleration.flow_frames import FlowFrameRunner
from taste_speech.acceleration.flow_runner import FlowRunner
from taste_speech.acceleration.lm_rows import LlamaRowRunner
from taste_speech.acceleration.settings import Acceleration
from taste_speech.acceleration.smaller_linear import shrink_linear_layers
from taste_speech.acceleration.unit_rows import UnitRowRunner
from taste_speech.acceleration.unit_runner import UnitRunner

if TYPE_CHECKING:
    from taste_speech.modeling_taste import TasteForCausalLM
    from taste_speech.vocoder.voice_generator import VoiceGenerator

_ROW_ROPES = ("default", "linear", "llama3", "yarn")
"""Rotary embeddings whose angles do not depend on how long the history is."""


def accelerate(
    model: "TasteForCausalLM",
    generator: "VoiceGenerator | None" = None,
    settings: Acceleration | None = None,
) -> None:
    """Prepare a model for inference in place, after it was moved to its device.

    Conversations that exist already go on as they are; new ones use the fast steps.

    Args:
        model: in eval mode.
        generator: the voice generator that goes with it.
        settings: None: the defaults, which change no result beyond rounding.

    Raises:
        ValueError: int8 or float16 on another device than the CPU.
    """
    settings = settings or Acceleration()
    if settings.linear != "as_is":
        shrink_linear_layers(model, generator, settings.linear)
    static = settings.static_shapes
    lm_by_rows = static is None and _computes_rows(model)
    by_rows = lm_by_rows and settings.linear != "int8"  # whose layers have no weights to read directly
    if static is None:
        static = model.device.type == "cuda"
    model.spoken_lm.acceleration = settings if static else None
    model.spoken_lm.row_runner = LlamaRowRunner(model.spoken_lm.language_model) if lm_by_rows else None
    if by_rows:
        model.speech_decoder.runner = UnitRowRunner()
    else:
        model.speech_decoder.runner = UnitRunner(settings) if static else None
    if generator is not None:
        generator.fold_weight_norm()
        if by_rows:
            generator.flow.decoder.runner = FlowFrameRunner()
        else:
            generator.flow.decoder.runner = FlowRunner(settings) if static else None


def decelerate(model: "TasteForCausalLM", generator: "VoiceGenerator | None" = None) -> None:
    """Back to the plain steps, for comparisons; smaller linear layers and folded weights stay."""
    model.spoken_lm.acceleration = model.spoken_lm.row_runner = None
    model.speech_decoder.runner = None
    if generator is not None:
        generator.flow.decoder.runner = None


def _computes_rows(model: "TasteForCausalLM") -> bool:
    """Whether single rows have a fast path: in float32 on the CPU, and with positions that turn evenly."""
    rope = model.spoken_lm.language_model.config.rope_parameters["rope_type"]
    return model.device.type == "cpu" and model.spoken_lm.dtype == torch.float32 and rope in _ROW_ROPES
