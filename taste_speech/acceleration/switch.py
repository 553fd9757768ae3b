"""Turning the fast paths of a loaded checkpoint on and off."""

import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from taste_speech.acceleration.flow_frames import FlowFrames
from taste_speech.acceleration.rows import CompiledRows, LlamaRows, UnitRows
from taste_speech.configuration_base import StrictSection
from taste_speech.cpu import HalfLinear, can_pack, quantize
from taste_speech.modeling_taste import TasteForCausalLM
from taste_speech.speech_decoder.unit_decoder import UnitDecoder
from taste_speech.vocoder.voice_generator import VoiceGenerator

_ROW_ROPES = ("default", "linear", "llama3", "yarn")
"""Types of rotary embeddings whose angles do not depend on the length of the history."""


class Acceleration(StrictSection):
    """Settings of `accelerate`. The defaults change results only by rounding."""

    linear: Literal["as_is", "float16", "bfloat16", "int8"] = "as_is"
    """Type of the linear layers: as loaded, or a smaller one, which changes results. float16 applies to the
    weights of the Llama only, which still computes in float32, and has no effect if the CPU does not support
    it. float16 and int8 work on the CPU only."""
    compiled: bool = False
    """Whether to compile the spoken LM's rows, the unit decoder's blocks and the flow's estimator with
    `torch.compile` on first use, which takes a minute or more; meant for CUDA. If false, float32 models on
    the CPU run single rows with fewer calls and fewer bytes, and others run the plain steps."""
    backend: str = "inductor"
    """Backend of `torch.compile`."""
    cache_rows: int = Field(default=2688, ge=16)
    """Initial capacity of a compiled conversation, in rows. It doubles when it is full, which recompiles the
    row."""


def accelerate(
    model: TasteForCausalLM, generator: VoiceGenerator | None = None, settings: Acceleration | None = None
) -> None:
    """Prepare a model for inference in place. Move it to its device first.

    Weights are read now, so call this again after changing them. New conversations use the fast path;
    existing ones continue as they are.

    Args:
        model: a model in eval mode.
        settings: None means the defaults.

    Raises:
        ValueError: int8 or float16 on a device other than the CPU.
    """
    settings = settings or Acceleration()
    if settings.linear != "as_is":
        _shrink_linear_layers(model, generator, settings.linear)
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
        if settings.linear != "int8":  # int8 layers have no weights that could be read directly
            for decoder in _unit_decoders(model):
                decoder.unit_runner = UnitRows(decoder)
            if generator is not None:
                generator.flow.decoder.runner = FlowFrames(generator.flow.decoder.estimator)


def decelerate(model: TasteForCausalLM, generator: VoiceGenerator | None = None) -> None:
    """Return to the plain steps, for comparisons; smaller linear layers and folded weights stay."""
    model.spoken_lm.row_runner = None
    for decoder in _unit_decoders(model):
        decoder.unit_runner = None
    if generator is not None:
        generator.flow.decoder.runner = None
    for module in _compilable(model, generator):
        module._compiled_call_impl = None


@contextmanager
def plain_steps(model: TasteForCausalLM, generator: VoiceGenerator) -> Iterator[None]:
    """Use the plain steps inside the block, and the fast path again afterwards."""
    lm, flow = model.spoken_lm, generator.flow.decoder
    runners = (lm.row_runner, flow.runner)
    unit_runners = [(decoder, decoder.unit_runner) for decoder in _unit_decoders(model)]
    compiled = [(module, module._compiled_call_impl) for module in _compilable(model, generator)]
    decelerate(model, generator)
    try:
        yield
    finally:
        lm.row_runner, flow.runner = runners
        for decoder, runner in unit_runners:
            decoder.unit_runner = runner
        for module, call in compiled:
            module._compiled_call_impl = call


def _unit_decoders(model: TasteForCausalLM) -> list[UnitDecoder]:
    """Return the model's unit decoder; empty where phones are timed instead of units drawn."""
    return [model.speech_decoder] if isinstance(model.speech_decoder, UnitDecoder) else []


def _compilable(model: TasteForCausalLM, generator: VoiceGenerator | None) -> list[nn.Module]:
    """Return the modules that `torch.compile` can take unchanged."""
    blocks = [block for decoder in _unit_decoders(model) for block in decoder.llm.encoders]
    return blocks if generator is None else [*blocks, generator.flow.decoder.estimator]


def _computes_rows(model: TasteForCausalLM) -> bool:
    rope = model.spoken_lm.language_model.config.rope_parameters["rope_type"]
    return model.device.type == "cpu" and model.spoken_lm.dtype == torch.float32 and rope in _ROW_ROPES


def _shrink_linear_layers(
    model: TasteForCausalLM, generator: VoiceGenerator | None, kind: Literal["float16", "bfloat16", "int8"]
) -> None:
    """Convert the layers that run at each step in place.

    bfloat16 converts the whole Llama, float16 its weights but not its arithmetic; the other parts are small
    and stay unchanged. int8 quantizes the linear layers of attention and feed-forward in Llama, unit decoder
    and flow.
    """
    llama = model.spoken_lm.language_model
    if kind == "bfloat16":
        llama.to(torch.bfloat16)
        return
    if model.device.type != "cpu":
        raise ValueError(
            f"{kind} layers run on the CPU only, but the model is on {model.device}; use bfloat16"
        )
    if kind == "float16":
        if can_pack():
            _halve_weights(llama)
        return
    for layer in llama.model.layers:
        quantize(layer)
    for block in (block for decoder in _unit_decoders(model) for block in decoder.llm.blocks):
        quantize(block.feed_forward)
        quantize(block.self_attn, "linear_q", "linear_k", "linear_v", "linear_out")
    if generator is not None:
        estimator = generator.flow.decoder.estimator
        for stage in (*estimator.down_blocks, *estimator.mid_blocks, *estimator.up_blocks):
            quantize(stage[1])


def _halve_weights(llama: LlamaForCausalLM) -> None:
    """Convert the weights of a float32 Llama to float16 in place; inputs and outputs stay float32.

    Only two layers are converted at a time, so that at most two exist twice. A weight shared by embedding and
    head stays shared.
    """
    # Outside the threads, which would restore each other's warning filters.
    with warnings.catch_warnings(), ThreadPoolExecutor(2) as pool:
        list(pool.map(_halve_layer, llama.model.layers))
    embedding, head = llama.model.embed_tokens, llama.lm_head
    tied = head.weight is embedding.weight
    embedding.weight = nn.Parameter(embedding.weight.detach().half(), requires_grad=False)
    llama.lm_head = HalfHead(embedding.weight) if tied else HalfLinear(head)


def _halve_layer(layer: LlamaDecoderLayer) -> None:
    for block in (layer.self_attn, layer.mlp):
        for name, part in list(block.named_children()):
            if isinstance(part, nn.Linear):
                setattr(block, name, HalfLinear(part))


class HalfHead(nn.Module):
    """The layer from hidden states to logits, for weights shared with the embedding.

    Args:
        weight: (vocabulary, hidden) float16.
    """

    def __init__(self, weight: nn.Parameter) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, x: Tensor) -> Tensor:
        """(..., hidden) -> (..., vocabulary), float32.

        A single row, which is all that a reply needs, is multiplied in float16 with float32 sums. That would
        be slow for many rows, so they use a temporary float32 copy of the weight.
        """
        if x.numel() == x.shape[-1]:
            return F.linear(x.half(), self.weight).float()
        return F.linear(x, self.weight.float())


def count_weights(model: nn.Module) -> int:
    """Return the number of parameters of a model, including packed ones."""
    packed = [part for part in model.modules() if isinstance(part, HalfLinear)]
    return sum(p.numel() for p in model.parameters()) + sum(part.count for part in packed)
