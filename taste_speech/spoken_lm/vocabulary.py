"""What the sampler must know about each LLM id: does it start a word, end a sentence, may it be said."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from taste_speech.spoken_lm.configuration import VocabularyConfig

_SENTENCE_MARKS = (".", "!", "?")


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Masks over the LLM's ids, each (V,) bool on the CPU unless moved with `to`."""

    word_start: Tensor
    """The token's text begins with a space, or it is a special token."""
    sentence_end: Tensor
    """The token's text contains the sentence end."""
    banned: Tensor
    """Nothing to say (no letter, digit or permitted sign), a line break, or explicitly banned."""
    special: Tensor
    """Special tokens."""
    texts: tuple[str, ...]
    """Decoded text of each id of the tokenizer."""
    starts: tuple[bool, ...]
    """`word_start` as Python values, for decisions that need no tensor."""
    ends: tuple[bool, ...]
    """`sentence_end` as Python values."""

    def ends_sentence(self, word_ids: Sequence[int]) -> bool:
        """Tell whether a word of these tokens is the last of a sentence, question or exclamation."""
        return self.texts[word_ids[-1]].rstrip().endswith(_SENTENCE_MARKS)

    def banned_but(self, *allowed_ids: int, specials: bool = False) -> Tensor:
        """Mask the ids not to draw: `banned` and (unless `specials`) all special ones, but `allowed_ids`."""
        mask = self.banned.clone() if specials else self.banned | self.special
        mask[list(allowed_ids)] = False
        return mask


def build_vocabulary(tokenizer: Any, size: int, config: VocabularyConfig) -> Vocabulary:
    """Build the masks for logits of `size` ids. Ids that the tokenizer cannot decode are banned."""
    texts = _decode_each(tokenizer, min(len(tokenizer), size))
    speakable = re.compile(config.allowed_characters)
    n_texts = len(texts)
    special = torch.zeros(size, dtype=torch.bool)
    special[sorted(config.special_ids(size))] = True
    starts = [text[:1] == " " for text in texts] + [False] * (size - n_texts)
    ends = [config.sentence_end in text for text in texts] + [False] * (size - n_texts)
    mute = [
        text != config.sentence_end and (speakable.search(text) is None or "\n" in text) for text in texts
    ]
    banned = torch.tensor(mute + [True] * (size - n_texts))
    banned[[i for i in config.banned_ids if i < size]] = True
    word_start = torch.tensor(starts) | special
    return Vocabulary(
        word_start=word_start,
        sentence_end=torch.tensor(ends),
        banned=banned,
        special=special,
        texts=tuple(texts),
        starts=tuple(word_start.tolist()),
        ends=tuple(ends),
    )


def _decode_each(tokenizer: Any, size: int) -> list[str]:
    """Text of each single id, with the tokenizer's own clean-up setting."""
    if hasattr(tokenizer, "batch_decode"):
        return list(tokenizer.batch_decode([[i] for i in range(size)]))
    return [tokenizer.decode(i) for i in range(size)]
