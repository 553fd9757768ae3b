"""Switching the fast paths of a loaded checkpoint on and off."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, cast

import torch
from pydantic import Field
from torch import nn

from taste_speech.acceleration.compiled import CompiledRows
from taste_speech.acceleration.flow_frames import FlowFrames
from taste_speech.acceleration.lm_rows import LlamaRows
from taste_speech.acceleration.smaller import shrink_linear_layers
from taste_speech.acceleration.unit_rows import UnitRows
from taste_speech.configuration_base import StrictSection
from taste_speech.modeling_taste import TasteForCausalLM
from taste_speech.vocoder.voice_generator import VoiceGenerator

_ROW_ROPES = ("default", "linear", "llama3", "yarn")
"""Rotary embeddings whose angles do not depend on how long the history is."""


class Acceleration(StrictSection):
    """Settings of `accelerate`. The defaults change no result beyond rounding."""

    linear: Literal["as_is", "float16", "bfloat16", "int8"] = "as_is"
    """Linear layers: as loaded, or in a smaller type, which changes results. float16: the Llama's weights
    only, computed with in float32; where the CPU has no such product, they stay as they are. float16 and
    int8: on the CPU only."""
    compiled: bool = False
    """Compile the spoken LM's rows, the unit decoder's blocks and the flow's estimator with `torch.compile`
    when they are first used, which takes a minute or more; meant for CUDA. False: on the CPU, models in
    float32 take single rows with fewer calls and fewer bytes; elsewhere the plain steps run."""
    backend: str = "inductor"
    """Of `torch.compile`."""
    cache_rows: int = Field(default=2688, ge=16)
    """Rows of history that a compiled conversation has room for at first. Beyond it the room doubles, and
    the row is compiled again."""


def accelerate(
    model: TasteForCausalLM, generator: VoiceGenerator | None = None, settings: Acceleration | None = None
) -> None:
    """Prepare a model for inference in place, after it was moved to its device.

    Its weights are read now: call this again after changing them. New conversations use the fast path; those
    that exist go on as they are.

    Args:
        model: in eval mode.
        generator: the voice generator that goes with it.
        settings: None: the defaults.

    Raises:
        ValueError: int8 or float16 on another device than the CPU.
    """
    settings = settings or Acceleration()
    if settings.linear != "as_is":
        shrink_linear_layers(model, generator, settings.linear)
    decelerate(model, generator)
    if generator is not None:
        generator.fold_weight_norm()
    llama = model.spoken_lm.language_model
    if settings.compiled:
        model.spoken_lm.row_runner = CompiledRows(llama, settings.backend, settings.cache_rows)
        for module in _compilable(model, generator):
            module.compile(dynamic=True, backend=settings.backend)
    elif _computes_rows(model):
        model.spoken_lm.row_runner = LlamaRows(llama)
        if settings.linear != "int8":  # whose layers have no weights to read directly
            model.speech_decoder.unit_runner = UnitRows(model.speech_decoder)
            if generator is not None:
                generator.flow.decoder.runner = FlowFrames(generator.flow.decoder.estimator)


def decelerate(model: TasteForCausalLM, generator: VoiceGenerator | None = None) -> None:
    """Go back to the plain steps, for comparisons; smaller linear layers and folded weights stay."""
    model.spoken_lm.row_runner = None
    model.speech_decoder.unit_runner = None
    if generator is not None:
        generator.flow.decoder.runner = None
    for module in _compilable(model, generator):
        module._compiled_call_impl = None


@contextmanager
def plain_steps(model: TasteForCausalLM, generator: VoiceGenerator) -> Iterator[None]:
    """Take the plain steps within it, and afterwards the fast path again."""
    lm, decoder, flow = model.spoken_lm, model.speech_decoder, generator.flow.decoder
    runners = (lm.row_runner, decoder.unit_runner, flow.runner)
    compiled = [(module, module._compiled_call_impl) for module in _compilable(model, generator)]
    decelerate(model, generator)
    try:
        yield
    finally:
        lm.row_runner, decoder.unit_runner, flow.runner = runners
        for module, call in compiled:
            module._compiled_call_impl = call


def _compilable(model: TasteForCausalLM, generator: VoiceGenerator | None) -> list[nn.Module]:
    """What `torch.compile` takes as it is: the unit decoder's blocks and the flow's estimator."""
    blocks = cast(list[nn.Module], list(model.speech_decoder.llm.encoders))
    return blocks if generator is None else [*blocks, generator.flow.decoder.estimator]


def _computes_rows(model: TasteForCausalLM) -> bool:
    """Whether single rows have a fast path: in float32 on the CPU, with positions that turn evenly."""
    rope = model.spoken_lm.language_model.config.rope_parameters["rope_type"]
    return model.device.type == "cpu" and model.spoken_lm.dtype == torch.float32 and rope in _ROW_ROPES
