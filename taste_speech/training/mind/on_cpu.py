"""Faster training of a Llama with LoRA on a CPU.

peft computes y = x W^T + s (x A^T) B^T for each of the seven linears of a layer. `AdaptedLlama` computes the
linears that read the same rows in one multiplication by W + s B A, which is made once per step, so the
forward pass of the adapters is almost free. A step takes about four fifths of the time. The results are the
same up to rounding.

In bfloat16, only multiplications use it: W + s B A is summed in float32 first, because what an adapter has
learned is often smaller than the rounding of W, and so is the residual stream.

`SideBySide` computes the parts of a batch in parallel, one core each: small multiplications gain little from
several threads of their own.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlamaForCausalLM
from transformers.modeling_outputs import BaseModelOutputWithPast

from taste_speech.training.loop import Losses


class _AdaptedLinears(torch.autograd.Function):
    """y_i = x (W_i + s B_i A_i)^T, concatenated, in the dtype of x (rows, in); W has no gradient."""

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
    """The linears of a layer that read the same rows."""

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
    """silu(gate) * up; the input is gate and up, concatenated."""

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
    """Computes the same as the forward of a Llama's `model`.

    Args:
        model: in float32, with adapters of one rank at all linears of its layers.
        dtype: of the multiplications.
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
        """Return the states (batch, rows, hidden) after the last norm, with causal attention.

        Raises:
            ValueError: a cache or a mask is given, which only the Llama's own forward supports.
        """
        if use_cache or any(value is not None for value in given.values()):
            raise ValueError("the adapted Llama takes whole sequences without a cache or a mask; omit them")
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


class _WithGradients(torch.autograd.Function):
    """A loss whose gradients are already known."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor, gradients: Sequence[Tensor], *_parameters: Tensor) -> Tensor:
        ctx.gradients = gradients
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return (None, None, *(gradients[0] * known for known in ctx.gradients))


class SideBySide:
    """Computes losses and gradients of the parts of a batch in parallel, each on one thread.

    Args:
        parameters: of the model; those that require gradients are trained.
        workers: number of threads.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], workers: int) -> None:
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self._pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))

    def losses(self, parts: Sequence[Callable[[], Losses]]) -> Losses:
        """Return the mean losses of `parts`; their sum has the gradients of all parts."""
        done = list(self._pool.map(self._differentiated, parts))
        share = 1 / len(parts)
        known = [torch.stack(same).sum(0) * share for same in zip(*(g for _, g in done), strict=True)]
        names = list(dict.fromkeys(name for losses, _ in done for name in losses))
        means = {name: torch.stack([losses[name] for losses, _ in done if name in losses]) for name in names}
        values = {name: each.sum() * share for name, each in means.items()}
        first, *others = values
        # The training loop differentiates the sum of the losses, so one of them can carry all gradients.
        return {first: _WithGradients.apply(values[first], known, *self.parameters)} | {
            name: values[name] for name in others
        }

    def _differentiated(self, compute: Callable[[], Losses]) -> tuple[Losses, Sequence[Tensor]]:
        losses = compute()
        total = torch.stack(list(losses.values())).sum()
        gradients = torch.autograd.grad(total, self.parameters, materialize_grads=True, allow_unused=True)
        return {name: loss.detach() for name, loss in losses.items()}, gradients
