"""Phones of the reply voice, and when those of an utterance end."""

from dataclasses import dataclass

PAUSE = "pause"
STRESS = ("ˈ", "ˌ")
VOWELS = "AIOQWYaiuæɑɒɔəɐɚɛɜɪʊʌᵊᵻ"
PHONES = (PAUSE, *VOWELS, *"bdfhjklmnpstvwxzðŋɡɹɾʃʒʤʧθʔT", *STRESS)
"""Symbols of hibari (those of misaki: A is the vowel of "day", ʤ the first sound of "judge").

A phone's number is its place here. Stress marks are no phones of their own."""


@dataclass(frozen=True)
class Timing:
    """When words and phones of an utterance end, in seconds."""

    word_ends: list[float]
    phones: list[tuple[str, float]]
    """Pauses included."""
