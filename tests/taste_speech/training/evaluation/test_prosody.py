import numpy as np
import pytest

from taste_speech.recognition.base import RecognizedWord
from taste_speech.training.evaluation.material import RATE_HZ, Spoken
from taste_speech.training.evaluation.prosody import correlations

WORDS_S = ((0.4, 110.0), (0.7, 150.0), (0.5, 130.0), (0.9, 180.0))


def voiced(seconds: float, f0_hz: float) -> np.ndarray:
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return sum(0.1 / k * np.sin(2 * np.pi * k * f0_hz * t) for k in range(1, 15)).astype(np.float32)


class ListedWords:
    """Knows when the words are: the sounds are made of pieces of known length."""

    def __init__(self, lengths):
        self.lengths = lengths

    def align(self, samples, text):
        ends = np.cumsum(self.lengths[len(samples)])
        starts = [0.0, *ends[:-1]]
        return [RecognizedWord(w, a, b) for w, a, b in zip(text.split(), starts, ends, strict=True)]


def sound(words):
    return np.concatenate([voiced(*word) for word in words])


def test_a_copy_correlates_and_a_monotone_of_equal_words_does_not():
    original = sound(WORDS_S)
    same = sound([(s * 1.1, f * 1.05) for s, f in WORDS_S])
    flat = sound([(0.6, f) for f in (150.0, 120.0, 160.0, 115.0)])
    judge = ListedWords(
        {
            len(original): [s for s, _ in WORDS_S],
            len(same): [s * 1.1 for s, _ in WORDS_S],
            len(flat): [0.61, 0.6, 0.6, 0.59],
        }
    )
    spoken = [Spoken("one two three four", original, "x")]
    duration, pitch, words = correlations(judge, spoken, [same])
    assert words == 4
    assert duration == pytest.approx(1.0, abs=1e-3)
    assert pitch > 0.98
    assert correlations(judge, spoken, [flat])[1] < 0


def test_words_that_cannot_be_aligned_are_left_out():
    class Deaf:
        def align(self, samples, text):
            return None

    spoken = [Spoken("one two", sound(WORDS_S), "x")]
    assert correlations(Deaf(), spoken, [sound(WORDS_S)]) == (0.0, 0.0, 0)
