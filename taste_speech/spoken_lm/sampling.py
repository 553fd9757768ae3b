"""Sampling of text tokens, and what the sampler knows about each LLM id. Nothing here changes its inputs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from taste_speech.configuration_sections import VocabularyConfig

DROPPED = -100000.0
"""Logit of an id that must not be drawn (finite, as in the published model, so no row is all -inf)."""
_SENTENCE_MARKS = (".", "!", "?")


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Properties of the LLM's V ids; the tensors are (V,) bool on the CPU.

    Attributes:
        word_start: whether the token's text begins with a space, or it is a special token.
        banned: whether it cannot be spoken (no letter, digit or allowed sign), contains a line break, or is
            banned by the configuration.
        special: whether it is a special token.
        texts: decoded text of each id of the tokenizer.
        starts: `word_start` as Python values, for decisions without tensors.
        ends: whether the token's text contains the sentence end.
    """

    word_start: Tensor
    banned: Tensor
    special: Tensor
    texts: tuple[str, ...]
    starts: tuple[bool, ...]
    ends: tuple[bool, ...]

    def ends_sentence(self, word_ids: Sequence[int]) -> bool:
        """Return whether a word with these tokens ends a sentence, question or exclamation."""
        return self.texts[word_ids[-1]].rstrip().endswith(_SENTENCE_MARKS)

    def banned_but(self, *allowed_ids: int) -> Tensor:
        """Return the mask of ids not to draw: banned and special ones, except for `allowed_ids`."""
        mask = self.banned | self.special
        mask[list(allowed_ids)] = False
        return mask


def build_vocabulary(tokenizer: Any, size: int, config: VocabularyConfig) -> Vocabulary:
    """Collect the properties of `size` ids. Ids that the tokenizer cannot decode are banned."""
    texts = _decode_each(tokenizer, min(len(tokenizer), size))
    missing = size - len(texts)
    speakable = re.compile(config.allowed_characters)
    mute = [
        text != config.sentence_end and (speakable.search(text) is None or "\n" in text) for text in texts
    ]
    banned = torch.tensor(mute + [True] * missing)
    banned[[i for i in config.banned_ids if i < size]] = True
    special = torch.zeros(size, dtype=torch.bool)
    special[sorted(config.special_ids(size))] = True
    word_start = torch.tensor([text[:1] == " " for text in texts] + [False] * missing) | special
    return Vocabulary(
        word_start=word_start,
        banned=banned,
        special=special,
        texts=tuple(texts),
        starts=tuple(word_start.tolist()),
        ends=tuple([config.sentence_end in text for text in texts] + [False] * missing),
    )


def _decode_each(tokenizer: Any, size: int) -> list[str]:
    if hasattr(tokenizer, "batch_decode"):
        return list(tokenizer.batch_decode([[i] for i in range(size)]))
    return [tokenizer.decode(i) for i in range(size)]


@dataclass(frozen=True)
class TextSampling:
    """Settings for drawing text tokens; `top_p` 0 is greedy and ignores the others.

    Raises:
        ValueError: a value is out of range; the message has the name used by the public functions.
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
    """Drop ids whose cumulative probability, counted from the most probable id and inclusive, exceeds top_p.

    The most probable id always stays.
    """
    ordered, order = logits.sort(dim=-1, descending=True)
    drop = ordered.softmax(dim=-1).cumsum(dim=-1) > top_p
    drop[..., 0] = False
    return _drop(logits, torch.zeros_like(drop).scatter(-1, order, drop))


def _drop(logits: Tensor, mask: Tensor) -> Tensor:
    # float16 cannot hold `DROPPED`.
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

    The order is that of the published model: ban, top-p on the raw logits, repetition penalty, temperature.

    Args:
        logits: (V,) of the last row.
        banned: (V,) mask of ids that cannot be drawn.
        seen_ids: (n,) ids that the repetition penalty applies to.
        sampling: temperature, top-p and penalty.
        generator: source of random numbers; None uses torch's global one.
    """
    logits = _drop(logits, banned)
    if sampling.top_p == 0:
        return int(logits.argmax())
    logits = penalize_repetition(keep_top_p(logits, sampling.top_p), seen_ids, sampling.repetition_penalty)
    # In float32: a penalty must not lift a dropped id, so dropped logits must stay far below the others.
    probabilities = (logits.float() / sampling.temperature).softmax(dim=-1)
    # Draw on the generator's device: a CPU generator works with weights on an accelerator, too.
    if generator is not None:
        probabilities = probabilities.to(generator.device)
    return int(torch.multinomial(probabilities, 1, generator=generator))
