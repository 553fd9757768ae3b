"""Keeps the unit decoder at the words that are being said: no word twice, none left out.

Attention that nothing binds can slip: it goes back and says a phrase again, or runs ahead. At inference, as
in Deep Voice 3 (Ping et al., 2018, arXiv:1710.07654, section 3.4), the heads that follow the text see only a
window of it, which moves forward with them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from taste_speech.speech_decoder.configuration import AlignmentWindowConfig

FIRST_CONDITION = 2
"""Row of the text's first token: [sos, speaker, tokens, task, units]."""


class AlignmentWindow:
    """Where in the text one item is, and what its alignment heads may see.

    Args:
        config: width of the window.
        alignment_heads: (block, head) pairs that it holds for.
        heads: heads of each block.
        tokens: ASR tokens of the text.
        position: token with which the new units begin.
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
        self._bound = bound_heads(alignment_heads, heads)

    @property
    def may_stop(self) -> bool:
        """Whether the text has been said but for its last tokens."""
        return self.position >= self.tokens - 1 - self.config.unsaid

    def visible(self, keys: int) -> dict[int, Tensor]:
        """By block (heads, 1, keys): whether each head may look at each row. Other blocks look at all."""
        seen = torch.ones(keys, dtype=torch.bool)
        text = seen[FIRST_CONDITION : FIRST_CONDITION + self.tokens]
        text[: max(0, self.position - self.config.back)] = False
        text[self.position + self.config.ahead + 1 :] = False
        return {block: (seen | ~bound[:, None])[:, None] for block, bound in self._bound.items()}

    def follow(self, attention: Tensor) -> None:
        """Move on to the token that a row's (tokens,) attention says most of; never back."""
        if len(attention):
            self.position = max(self.position, int(attention.argmax()))


def bound_heads(alignment_heads: Sequence[tuple[int, int]], heads: int) -> dict[int, Tensor]:
    """By block (heads,): which of its heads the window holds for."""
    return {
        block: torch.tensor([(block, head) in alignment_heads for head in range(heads)])
        for block in {block for block, _ in alignment_heads}
    }
