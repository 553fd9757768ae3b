"""Linear layers in a smaller type: fewer bytes to read at each step, at some cost in accuracy."""

import warnings
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from taste_speech.acceleration.half_linear import halve_weights
from taste_speech.acceleration.row_linear import can_pack

if TYPE_CHECKING:
    from taste_speech.modeling_taste import TasteForCausalLM
    from taste_speech.vocoder.voice_generator import VoiceGenerator


def shrink_linear_layers(
    model: "TasteForCausalLM",
    generator: "VoiceGenerator | None",
    kind: Literal["float16", "bfloat16", "int8"],
) -> None:
    """Convert what runs at each step, in place: Llama, unit decoder, flow.

    bfloat16 converts the Llama as a whole, float16 its weights but not its arithmetic; the other parts are
    small and stay as they are. int8 quantizes the linear layers of attention and feed-forward: weights once,
    activations at each call.

    Raises:
        ValueError: int8 or float16 on another device than the CPU.
    """
    if kind == "bfloat16":
        model.spoken_lm.language_model.to(torch.bfloat16)
        return
    if model.device.type != "cpu":
        raise ValueError(f"{kind} layers run on the CPU only, the model is on {model.device}; use bfloat16")
    if kind == "float16":
        if can_pack():
            halve_weights(model.spoken_lm.language_model)
        return
    for layer in model.spoken_lm.language_model.model.layers:
        quantize(layer)
    for block in model.speech_decoder.llm.encoders:
        quantize(block.feed_forward)  # type: ignore[arg-type]
        quantize(block.self_attn, "linear_q", "linear_k", "linear_v", "linear_out")  # type: ignore[arg-type]
    if generator is not None:
        estimator = generator.flow.decoder.estimator
        for stage in (*estimator.down_blocks, *estimator.mid_blocks, *estimator.up_blocks):
            quantize(stage[1])


def quantize(block: nn.Module, *names: str, each_output: bool = False) -> None:
    """Quantize all linear layers of a block, or those of these names (others' weights are read directly).

    With `each_output` each output has a scale of its own, which is finer.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the function is on its way out of torch itself
        ao = torch.ao.quantization
        kind = ao.per_channel_dynamic_qconfig if each_output else ao.default_dynamic_qconfig
        which = dict.fromkeys(names or [nn.Linear], kind)
        ao.quantize_dynamic(block, which, dtype=torch.qint8, inplace=True)
