"""State of decoding, and choosing the next unit."""

import copy
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from taste_speech.speech_decoder.encoder import EncoderState

FIRST_CONDITION = 2
"""Index of the row of the first text token: [sos, speaker, tokens, task, units]."""


@dataclass
class UnitDecoderState:
    """Prefix and units that the unit decoder has seen.

    Attributes:
        encoder: cached rows of the language model.
        condition_tokens: number of ASR tokens in the prefix.
        attention: one (condition_tokens,) vector for each row from the task row on.
    """

    encoder: EncoderState
    condition_tokens: int
    attention: list[Tensor]

    def clone(self) -> Self:
        """Return an independent copy."""
        return copy.deepcopy(self)

    @property
    def condition(self) -> slice:
        """Rows of the condition."""
        return slice(FIRST_CONDITION, FIRST_CONDITION + self.condition_tokens)


def greedy_unit(logits: Tensor, stop_id: int, may_stop: bool) -> int:
    """Return the id with the highest of (vocabulary,) logits; the stop id only if `may_stop`."""
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
    """Sample one of the `top_k` most probable ids with probabilities ^ (1 / temperature).

    If the stop id may not be drawn, it is removed after the cut, and no id outside the `top_k` takes its
    place: this equals drawing again until another id comes.
    """
    values, ids = torch.topk(logits.float(), min(top_k, len(logits)))
    probabilities = torch.softmax(values / temperature, dim=-1)
    if not may_stop:
        probabilities = probabilities * (ids != stop_id)
        if not bool(probabilities.any()):
            return greedy_unit(logits, stop_id, may_stop=False)
    if generator is not None:
        probabilities = probabilities.to(generator.device)
    choice = torch.multinomial(probabilities, 1, generator=generator)
    return int(ids[choice.to(ids.device)])
