"""Choosing the next speech unit; pure functions of the logits."""

import torch
from torch import Tensor


def greedy_unit(logits: Tensor, stop_id: int, may_stop: bool) -> int:
    """The most probable id of (vocabulary,) logits; the stop id only if it may stop."""
    if not may_stop:
        logits = logits.clone()
        logits[stop_id] = -torch.inf
    return int(logits.argmax())


def sample_unit(
    logits: Tensor,
    stop_id: int,
    may_stop: bool,
    top_k: int,
    generator: torch.Generator | None = None,
    temperature: float = 1.0,
) -> int:
    """Draws one of the `top_k` most probable ids, by their probabilities ^ (1 / temperature).

    The stop id, when it may not be drawn, is removed after the cut: no id outside the `top_k` can take
    its place, which is the distribution of drawing again until another id comes.
    """
    values, ids = torch.topk(logits.float(), min(top_k, len(logits)))
    probabilities = torch.softmax(values / temperature, dim=-1)
    if not may_stop:
        kept = probabilities * (ids != stop_id)
        if not bool(kept.any()):
            return greedy_unit(logits, stop_id, may_stop=False)
        probabilities = kept
    if generator is not None:
        probabilities = probabilities.to(generator.device)
    choice = torch.multinomial(probabilities, 1, generator=generator)
    return int(ids[choice.to(ids.device)])
