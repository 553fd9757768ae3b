"""Taste tokens for the words of talks, from what the reply voice was heard to say."""

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Self

from torch import Tensor

from taste_speech.training.corpus import AudioStore, Clip
from taste_speech.training.mind.rows import Codes

PACES = {"slow": (0.0, 0.8), "": (0.9, 1.1), "fast": (1.25, 9.0)}
"""Slowest and fastest rate of the recordings that stand for a manner of `Turn`."""
_MARKS = ".,?!"


class TasteBank:
    """Draws, for each word, the taste token of a recording in which it is said in the manner asked for.

    Args:
        spoken: recordings with their taste tokens (words, levels).
    """

    def __init__(self, spoken: Iterable[tuple[Clip, Tensor]]) -> None:
        self._known: dict[tuple[str, str], list[Codes]] = defaultdict(list)
        for clip, ids in spoken:
            manners = [name for name, (low, high) in PACES.items() if low <= clip.rate <= high]
            for word, row in zip(clip.text.split(), ids.tolist(), strict=True):
                for manner in manners:
                    self._known[manner, word].append(tuple(row))
                    if word != _bare(word):
                        self._known[manner, _bare(word)].append(tuple(row))

    @classmethod
    def of_stores(cls, stores: Sequence[AudioStore], ids: Mapping[str, Tensor]) -> Self:
        """Take the training clips of these stores; `ids` are taste tokens (words, levels) by clip."""
        clips = (clip for store in stores for clip in store)
        return cls((clip, ids[clip.id]) for clip in clips if clip.split == "train" and clip.id in ids)

    def codes(
        self, role: str, words: Sequence[str], rng: random.Random, manner: str = ""
    ) -> list[Codes | None]:
        """One taste token for each word, None where the word was never said in this manner."""
        manner = manner if manner in PACES else ""
        found = (self._known.get((manner, word)) or self._known.get((manner, _bare(word))) for word in words)
        return [rng.choice(choices) if choices else None for choices in found]


def _bare(word: str) -> str:
    return word.rstrip(_MARKS).lower()
