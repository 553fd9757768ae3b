"""Sampling from text logits: pure functions that never change their inputs."""

from dataclasses import dataclass

import torch
from torch import Tensor

DROPPED = -100000.0
"""Logit of an id that must not be drawn (finite, as in the published model: a row is never all -inf)."""


@dataclass(frozen=True)
class TextSampling:
    """How text tokens are drawn; `top_p` 0 takes the most probable, whatever the others are.

    Raises:
        ValueError: a value out of range; named as in the public functions.
    """

    top_p: float = 0.0
    temperature: float = 1.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.top_p <= 1:
            raise ValueError(f"text_top_p is {self.top_p}; give a number from 0 (greedy) to 1")
        if not self.temperature > 0:
            raise ValueError(f"text_temperature is {self.temperature}; give a number above 0")
        if not self.repetition_penalty > 0:
            raise ValueError(
                f"repetition_penalty is {self.repetition_penalty}; give a number above 0 (1 is none)"
            )


def keep_top_p(logits: Tensor, top_p: float) -> Tensor:
    """Drop ids whose cumulative probability exceeds top_p.

    It is counted from the most probable id and includes the id itself. The most probable id always stays.
    """
    ordered, order = logits.sort(dim=-1, descending=True)
    drop = ordered.softmax(dim=-1).cumsum(dim=-1) > top_p
    drop[..., 0] = False
    return _drop(logits, torch.zeros_like(drop).scatter(-1, order, drop))


def _drop(logits: Tensor, mask: Tensor) -> Tensor:
    # float16 does not reach as far down.
    return logits.masked_fill(mask, max(DROPPED, torch.finfo(logits.dtype).min))


def penalize_repetition(logits: Tensor, ids: Tensor, penalty: float) -> Tensor:
    """Divide positive and multiply negative logits (V,) of each distinct id in `ids` by `penalty`."""
    if penalty == 1.0 or ids.numel() == 0:
        return logits
    chosen = logits[ids]
    return logits.scatter(-1, ids, torch.where(chosen < 0, chosen * penalty, chosen / penalty))


def sample_text(
    logits: Tensor,
    banned: Tensor,
    seen_ids: Tensor,
    sampling: TextSampling,
    generator: torch.Generator | None = None,
) -> int:
    """Draw one text token.

    The order is the published model's: ban, top-p on the raw logits, repetition penalty, temperature.

    Args:
        logits: (V,) of the last row.
        banned: (V,) mask of ids that cannot be drawn.
        seen_ids: (n,) ids that the repetition penalty covers.
        sampling: how.
        generator: of the draw; None: torch's global one.
    """
    logits = _drop(logits, banned)
    if sampling.top_p == 0:
        return int(logits.argmax())
    logits = penalize_repetition(keep_top_p(logits, sampling.top_p), seen_ids, sampling.repetition_penalty)
    # float32 from here on; a penalty must not lift a dropped id, so those stay far below the rest.
    probabilities = (logits.float() / sampling.temperature).softmax(dim=-1)
    # One draw wherever the generator lives: a CPU generator with weights on an accelerator works too.
    if generator is not None:
        probabilities = probabilities.to(generator.device)
    return int(torch.multinomial(probabilities, 1, generator=generator))
