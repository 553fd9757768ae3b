"""Phones of the reply voice, and when those of an utterance end."""

from dataclasses import dataclass

PAUSE = "pause"
STRESS = ("ˈ", "ˌ")
PHONES = (PAUSE, *"AIOQWYaiuæɑɒɔəɐɚɛɜɪʊʌᵊᵻbdfhjklmnpstvwxzðŋɡɹɾʃʒʤʧθʔT", *STRESS)
"""Symbols of hibari (those of misaki: A is the vowel of "day", ʤ the first sound of "judge").

A phone's number is its place here. Stress marks stand in spellings only."""


@dataclass(frozen=True)
class Timing:
    """When words and phones of an utterance end, in seconds."""

    word_ends: list[float]
    phones: list[tuple[str, float]]
    """Pauses included."""


def numbers(phonemes: str) -> list[int]:
    """Return the numbers of a word's phonemes, stress marks included, marks of punctuation left out."""
    return [_NUMBER[symbol] for symbol in phonemes if symbol in _NUMBER]


_NUMBER = {symbol: number for number, symbol in enumerate(PHONES)}
