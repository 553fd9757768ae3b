"""Linear layers in a smaller type: fewer bytes to read at each step, at some cost in accuracy."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from taste_speech.cpu import HalfLinear, can_pack, quantize
from taste_speech.modeling_taste import TasteForCausalLM
from taste_speech.vocoder.voice_generator import VoiceGenerator


def shrink_linear_layers(
    model: TasteForCausalLM,
    generator: VoiceGenerator | None,
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
            _halve_weights(model.spoken_lm.language_model)
        return
    for layer in model.spoken_lm.language_model.model.layers:
        quantize(layer)
    for block in model.speech_decoder.llm.blocks:
        quantize(block.feed_forward)
        quantize(block.self_attn, "linear_q", "linear_k", "linear_v", "linear_out")
    if generator is not None:
        estimator = generator.flow.decoder.estimator
        for stage in (*estimator.down_blocks, *estimator.mid_blocks, *estimator.up_blocks):
            quantize(stage[1])


def _halve_weights(llama: LlamaForCausalLM) -> None:
    """Keep the weights of a float32 Llama in half precision, in place; inputs and outputs stay float32.

    It goes layer by layer, two at a time, so that no more are there twice meanwhile. An embedding and a head
    that share a table go on doing so.
    """
    # Around the threads, which restore each other's filters of warnings.
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
    """The layer from states to logits, which reads the table that the embedding looks up.

    Args:
        weight: (vocabulary, hidden) in half precision.
    """

    def __init__(self, weight: nn.Parameter) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, x: Tensor) -> Tensor:
        """(..., hidden) -> (..., vocabulary), float32.

        One row, which is what a reply needs, is multiplied in half precision, with sums in float32; for many
        that would be slow, so they take a float32 copy that is thrown away.
        """
        if x.numel() == x.shape[-1]:
            return F.linear(x.half(), self.weight).float()
        return F.linear(x, self.weight.float())


def count_weights(model: nn.Module) -> int:
    """Count the numbers that a model has learned, those that are packed among them."""
    packed = [part for part in model.modules() if isinstance(part, HalfLinear)]
    return sum(p.numel() for p in model.parameters()) + sum(part.count for part in packed)
