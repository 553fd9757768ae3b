"""How words are pronounced, for a voice that is told the phones of what it says."""

from collections.abc import Sequence
from functools import cache, cached_property, lru_cache
from typing import Any

from taste_speech.errors import CheckpointError

MARKS = '.,?!;:—…"()“”'
"""Marks of punctuation among the phonemes: they are not said, but tell pauses and intonation."""
_KNOWN_WORDS = 20_000


@lru_cache(_KNOWN_WORDS)
def pronounced(word: str) -> str:
    """Return the phonemes of a word in misaki's alphabet, with stress marks and punctuation.

    The dictionary, and the network for words that it lacks, are those of the package `hibari-tts`.

    Raises:
        CheckpointError: the package is missing.
    """
    return "".join(_g2p()(word).split())


@cache
def _g2p() -> Any:
    try:
        from hibari.g2p import G2P
    except ImportError as error:
        raise CheckpointError(
            "this checkpoint reads phonemes, and the package that pronounces words is missing; run: "
            "pip install hibari-tts"
        ) from error
    return G2P()


class PhonemeTokenizer:
    """An ASR tokenizer whose pieces are phonemes: words are pronounced, then cut into pieces.

    Each word is pronounced by itself, so that it is the same in whichever chunk it arrives.

    Args:
        pieces: tokenizer of phonemes in misaki's alphabet, as a checkpoint holds it; it answers everything
            but `encode`.
    """

    def __init__(self, pieces: Any) -> None:
        self.pieces = pieces

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["pieces"], name)

    def __len__(self) -> int:
        return len(self.pieces)

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        """Return the pieces of each word of `text`; of a word that has no sound, the unknown piece."""
        said = [pronounced(word) for word in text.split()]
        known = [self.pieces.encode(f" {word}", add_special_tokens=False) for word in said if word]
        ids = [piece for word in known for piece in word]
        return ids or [self.pieces.unk_token_id]

    @cached_property
    def silent_ids(self) -> frozenset[int]:
        """Pieces that are marks of punctuation."""
        vocabulary = self.pieces.get_vocab()
        return frozenset(vocabulary[mark] for mark in MARKS if mark in vocabulary)


def silent_tail(tokenizer: Any, ids: Sequence[int], word: str, silent_signs: str) -> int:
    """Return how many pieces at the end of a word are written, not said."""
    silent = getattr(tokenizer, "silent_ids", None)
    if silent is None:
        return len(word) - len(word.rstrip(silent_signs))
    return next((n for n, piece in enumerate(reversed(ids)) if piece not in silent), len(ids))
