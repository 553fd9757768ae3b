"""A Llama with LoRA on a CPU, in as few multiplications as its gradients allow.

peft computes y = x W^T + s (x A^T) B^T, for each of the seven linears of a layer. Here linears that read the
same rows are one multiplication by W + s B A, which is made once a step: the adapters cost next to nothing
forward. A step takes about four fifths of the time. The numbers are the same but for rounding.

In bfloat16 only the multiplications are: W + s B A is summed in float32 first, as what an adapter has learned
is often less than the rounding of W, and what the layers add to a row is summed in float32 too.
"""

from typing import Any, cast

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlamaForCausalLM
from transformers.modeling_outputs import BaseModelOutputWithPast


class _AdaptedLinears(torch.autograd.Function):
    """y_i = x (W_i + s B_i A_i)^T side by side, in the number type of x (rows, in); W has no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, given: Tensor, scale: float, *adapters: Tensor) -> Tensor:
        count = len(adapters) // 2
        weight = torch.empty_like(given, dtype=x.dtype)
        first = 0
        for a, b in zip(adapters[:count], adapters[count:], strict=True):
            part = slice(first, first + len(b))
            weight[part] = torch.addmm(given[part], b, a, alpha=scale)
            first += len(b)
        ctx.save_for_backward(x, weight, *adapters)
        ctx.scale = scale
        return x @ weight.t()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (dy,) = gradients
        x, weight, *saved = ctx.saved_tensors
        adapters = [adapter.to(x.dtype) for adapter in saved]
        count = len(adapters) // 2
        rank = len(adapters[0])
        reduced = x @ torch.cat(adapters[:count]).t()
        raised, of_b = [], []
        parts = dy.split([len(b) for b in adapters[count:]], dim=1)
        for part, b, low in zip(parts, adapters[count:], reduced.split(rank, dim=1), strict=True):
            raised.append(part @ b)
            of_b.append((part.t() @ low).float() * ctx.scale)
        of_a = ((torch.cat(raised, dim=1).t() @ x).float() * ctx.scale).split(rank)
        return (dy @ weight if ctx.needs_input_grad[0] else None, None, None, *of_a, *of_b)


class _Linears:
    """Linears of a layer that read the same rows."""

    def __init__(self, *linears: nn.Module) -> None:
        layers = [cast(LoraLayer, linear) for linear in linears]
        self.given = torch.cat([cast(nn.Linear, layer.get_base_layer()).weight.detach() for layer in layers])
        self.scale: float = layers[0].scaling["default"]
        self.adapters = [layer.lora_A["default"].weight for layer in layers]
        self.adapters += [layer.lora_B["default"].weight for layer in layers]

    def __call__(self, x: Tensor) -> Tensor:
        return _AdaptedLinears.apply(x, self.given, self.scale, *self.adapters)


class _Norm(torch.autograd.Function):
    """x / sqrt(mean(x^2) + epsilon) * weight in `dtype`; the weight has no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float, dtype: torch.dtype) -> Tensor:
        scale = torch.rsqrt(
            torch.linalg.vector_norm(x, dim=-1, keepdim=True).square() / x.shape[-1] + epsilon
        )
        ctx.save_for_backward(x, weight, scale)
        return (x * scale).mul_(weight).to(dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, scale = ctx.saved_tensors
        dy = gradients[0] * weight
        along = (dy * x).mean(-1, keepdim=True).mul_(scale.square())
        return dy.addcmul_(x, along, value=-1).mul_(scale), None, None, None


class _Gated(torch.autograd.Function):
    """silu(gate) * up, of gate and up side by side."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        gate, up = x.chunk(2, dim=-1)
        return functional.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        gate, up = x.chunk(2, dim=-1)
        dx = torch.empty_like(x)
        of_gate, of_up = dx.chunk(2, dim=-1)
        torch.mul(gradients[0], functional.silu(gate), out=of_up)
        of_gate.copy_(torch.ops.aten.silu_backward(gradients[0] * up, gate))
        return dx


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


class AdaptedLlama:
    """Runs rows through the Llama as its own forward does.

    Args:
        model: with adapters of one rank at all linears of its layers, in float32.
        dtype: in which the linears multiply.
    """

    def __init__(self, model: LlamaForCausalLM, dtype: torch.dtype = torch.float32) -> None:
        self.dtype = dtype
        self.rotary = model.model.rotary_emb
        self.config = model.config
        self.last_norm = model.model.norm.weight
        self.layers = [
            (
                layer.input_layernorm.weight,
                _Linears(layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj),
                _Linears(layer.self_attn.o_proj),
                layer.post_attention_layernorm.weight,
                _Linears(layer.mlp.gate_proj, layer.mlp.up_proj),
                _Linears(layer.mlp.down_proj),
            )
            for layer in model.model.layers
        ]

    def __call__(
        self, inputs_embeds: Tensor, use_cache: bool = False, **given: object
    ) -> BaseModelOutputWithPast:
        """Return the states (batch, rows, hidden) after the last norm; rows attend to those before.

        Raises:
            ValueError: a cache or a mask is given, which only the Llama's own forward takes.
        """
        if use_cache or any(value is not None for value in given.values()):
            raise ValueError("rows go through the adapted Llama whole, without a cache or a mask")
        batch, length, width = inputs_embeds.shape
        heads, groups = self.config.num_attention_heads, self.config.num_key_value_heads
        epsilon = self.config.rms_norm_eps
        cos, sin = self.rotary(inputs_embeds, torch.arange(length)[None])
        cos, sin = cos[:, None].to(self.dtype), sin[:, None].to(self.dtype)
        x = inputs_embeds.reshape(batch * length, width)
        for first_norm, to_heads, from_heads, second_norm, to_wide, from_wide in self.layers:
            by_head = to_heads(_Norm.apply(x, first_norm, epsilon, self.dtype)).view(
                batch, length, heads + 2 * groups, -1
            )
            turning, values = by_head.transpose(1, 2).split([heads + groups, groups], dim=1)
            queries, keys = _rotated(turning, cos, sin).split([heads, groups], dim=1)
            attended = functional.scaled_dot_product_attention(
                queries,
                keys.repeat_interleave(heads // groups, dim=1),
                values.repeat_interleave(heads // groups, dim=1),
                is_causal=True,
            )
            x = x + from_heads(attended.transpose(1, 2).reshape(batch * length, -1))
            x = x + from_wide(_Gated.apply(to_wide(_Norm.apply(x, second_norm, epsilon, self.dtype))))
        states = _Norm.apply(x, self.last_norm, epsilon, torch.float32).view(batch, length, width)
        return BaseModelOutputWithPast(last_hidden_state=states)
