"""Weights in half precision on the CPU, computed with in float32: half the bytes to read at each step."""

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import LlamaForCausalLM

from taste_speech.acceleration.row_linear import pack


def halve_weights(llama: LlamaForCausalLM) -> None:
    """Keep the weights of a float32 Llama in half precision, in place; inputs and outputs stay float32.

    It goes layer by layer, so that no more than one is there twice meanwhile. An embedding and a head that
    share a table go on doing so.
    """
    for layer in llama.model.layers:
        for block in (layer.self_attn, layer.mlp):
            for name, part in block.named_children():
                if isinstance(part, nn.Linear):
                    setattr(block, name, HalfLinear(part))
    embedding, head = llama.model.embed_tokens, llama.lm_head
    tied = head.weight is embedding.weight
    embedding.weight = nn.Parameter(embedding.weight.detach().half(), requires_grad=False)
    llama.lm_head = HalfHead(embedding.weight) if tied else HalfLinear(head)


class HalfLinear(nn.Module):
    """`nn.Linear` for any number of rows, its weights packed for FBGEMM.

    Which pads the inputs to a multiple of 512 (576 take the memory of 1,024, not their time).

    Args:
        layer: whose weights it takes over.
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self._packed = pack(layer.weight.detach())
        self._bias = None if layer.bias is None else layer.bias.detach()
        self.count = sum(p.numel() for p in layer.parameters())

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs), float32."""
        return torch.fbgemm_linear_fp16_weight_fp32_activation(x, self._packed, self._bias)

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        """What is packed cannot be copied, nor written to: a copied model reads the same."""
        return self


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
    """Numbers that a model has learned, those that are packed among them."""
    packed = [part for part in model.modules() if isinstance(part, HalfLinear)]
    return sum(p.numel() for p in model.parameters()) + sum(part.count for part in packed)
