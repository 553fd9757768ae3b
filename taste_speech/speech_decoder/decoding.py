"""How the next speech unit is chosen, and what of the text the unit decoder may look at meanwhile."""

from collections.abc import Sequence

import torch
from torch import Tensor

from taste_speech.speech_decoder.configuration import AlignmentWindowConfig

FIRST_CONDITION = 2
"""Row of the text's first token: [sos, speaker, tokens, task, units]."""


class AlignmentWindow:
    """Where in the text one item is, and what its alignment heads may see.

    Attention that nothing binds can slip: it goes back and says a phrase again, or runs ahead. At inference,
    as in Deep Voice 3 (Ping et al., 2018, arXiv:1710.07654, section 3.4), the heads that follow the text see
    only a window of it, which moves forward with them: no word twice, none left out.

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
        self._bound = {
            block: torch.tensor([(block, head) in alignment_heads for head in range(heads)])
            for block in {block for block, _ in alignment_heads}
        }

    @property
    def may_stop(self) -> bool:
        """Whether the text has been said but for its last tokens."""
        return self.position >= self.tokens - 1 - self.config.unsaid

    def visible(self, keys: int) -> dict[int, Tensor]:
        """Tell, by block, (heads, 1, keys) which rows each head may look at. Other blocks look at all."""
        seen = torch.ones(keys, dtype=torch.bool)
        text = seen[FIRST_CONDITION : FIRST_CONDITION + self.tokens]
        text[: max(0, self.position - self.config.back)] = False
        text[self.position + self.config.ahead + 1 :] = False
        return {block: (seen | ~bound[:, None])[:, None] for block, bound in self._bound.items()}

    def follow(self, attention: Tensor) -> None:
        """Move on to the token that a row's (tokens,) attention says most of; never back."""
        if len(attention):
            self.position = max(self.position, int(attention.argmax()))


def greedy_unit(logits: Tensor, stop_id: int, may_stop: bool) -> int:
    """Return the most probable id of (vocabulary,) logits; the stop id only if it may stop."""
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
    """Draw one of the `top_k` most probable ids, by their probabilities ^ (1 / temperature).

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
