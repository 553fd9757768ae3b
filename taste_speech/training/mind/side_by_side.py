"""Parts of a batch on a core each: small multiplications gain little from several threads of their own."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

Losses = dict[str, Tensor]


class _WithGradients(torch.autograd.Function):
    """A loss whose gradients are known."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor, gradients: Sequence[Tensor], *_parameters: Tensor) -> Tensor:
        ctx.gradients = gradients
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return (None, None, *(gradients[0] * known for known in ctx.gradients))


class SideBySide:
    """Computes losses and gradients of parts of a batch beside each other, each on one thread.

    Args:
        parameters: that are trained.
        workers: how many parts.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], workers: int) -> None:
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self._pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))

    def losses(self, parts: Sequence[Callable[[], Losses]]) -> Losses:
        """Return the means of what `parts` return; the sum of them has the gradients."""
        done = list(self._pool.map(self._differentiated, parts))
        share = 1 / len(parts)
        known = [torch.stack(same).sum(0) * share for same in zip(*(g for _, g in done), strict=True)]
        names = list(dict.fromkeys(name for losses, _ in done for name in losses))
        means = {name: torch.stack([losses[name] for losses, _ in done if name in losses]) for name in names}
        values = {name: each.sum() * share for name, each in means.items()}
        first, *others = values
        # The loop sums the losses and differentiates: all gradients hang on one of them.
        return {first: _WithGradients.apply(values[first], known, *self.parameters)} | {
            name: values[name] for name in others
        }

    def _differentiated(self, compute: Callable[[], Losses]) -> tuple[Losses, Sequence[Tensor]]:
        losses = compute()
        total = torch.stack(list(losses.values())).sum()
        gradients = torch.autograd.grad(total, self.parameters, materialize_grads=True, allow_unused=True)
        return {name: loss.detach() for name, loss in losses.items()}, gradients
