"""State of decoding: choosing the next unit, and limiting what the alignment heads see of the text."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from taste_speech.configuration_sections import AlignmentWindowConfig
from taste_speech.speech_decoder.encoder import EncoderState

FIRST_CONDITION = 2
"""Index of the row of the first text token: [sos, speaker, tokens, task, units]."""


class AlignmentWindow:
    """Position of one item in its text, and what its alignment heads may see there.

    Unrestricted attention can slip: it goes back and repeats a phrase, or skips ahead. As in Deep Voice 3
    (Ping et al., 2018, arXiv:1710.07654, section 3.4), at inference the heads that follow the text see only a
    window that moves forward with them, so that no word is repeated or skipped.

    Args:
        config: width of the window.
        alignment_heads: (block, head) pairs that are restricted.
        heads: number of heads per block.
        tokens: number of ASR tokens of the text.
        position: index of the token where the new units begin.
    """

    def __init__(
        self,
        config: AlignmentWindowConfig,
        alignment_heads: Sequence[tuple[int, int]],
        heads: int,
        tokens: int,
        position: int = 0,
    ) -> None:
        self.config, self.tokens, self.position = config, tokens, position
        self._restricted = {
            block: torch.tensor([(block, head) in alignment_heads for head in range(heads)])
            for block in {block for block, _ in alignment_heads}
        }

    @property
    def may_stop(self) -> bool:
        """Whether all of the text has been said, except for the last few tokens."""
        return self.position >= self.tokens - 1 - self.config.unsaid

    def visible(self, keys: int) -> dict[int, Tensor]:
        """Return by block which of `keys` rows each head may see, (heads, 1, keys); other blocks see all."""
        seen = torch.ones(keys, dtype=torch.bool)
        text = seen[FIRST_CONDITION : FIRST_CONDITION + self.tokens]
        text[: max(0, self.position - self.config.back)] = False
        text[self.position + self.config.ahead + 1 :] = False
        return {block: (seen | ~heads[:, None])[:, None] for block, heads in self._restricted.items()}

    def follow(self, attention: Tensor) -> None:
        """Move to the token with the highest attention of (tokens,), but never back."""
        if len(attention):
            self.position = max(self.position, int(attention.argmax()))


@dataclass
class UnitDecoderState:
    """Prefix and units that the unit decoder has seen.

    Attributes:
        encoder: cached rows of the language model.
        condition_tokens: number of ASR tokens in the prefix.
        attention: one (condition_tokens,) vector for each row from the task row on.
        window: the part of the condition that the alignment heads may see; None: all of it.
    """

    encoder: EncoderState
    condition_tokens: int
    attention: list[Tensor]
    window: AlignmentWindow | None = None

    def clone(self) -> Self:
        """Return an independent copy."""
        return copy.deepcopy(self)

    @property
    def condition(self) -> slice:
        """Rows of the condition."""
        return slice(FIRST_CONDITION, FIRST_CONDITION + self.condition_tokens)

    @property
    def may_stop(self) -> bool:
        """Whether the alignment window, if there is one, has reached the end of the text."""
        return self.window is None or self.window.may_stop


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
