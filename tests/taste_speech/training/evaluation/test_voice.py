import numpy as np
import pytest

from taste_speech.training.evaluation.material import Spoken
from taste_speech.training.evaluation.voice import DRAWS, draw, error_row

SENTENCES = [Spoken(text, np.zeros(1, np.float32), "rms") for text in ("one two", "three four")]


class Echo:
    """A judge that hears how many words a sound has."""

    def transcribe(self, sound):
        return {0: "one two", 1: "one", 2: "three four"}[int(sound[0])]


def test_word_errors_are_the_mean_of_several_draws():
    def speak(sentence, seed):
        right = SENTENCES.index(sentence) * 2
        return np.array([1 if seed == 0 and right == 0 else right])

    drawn = draw(speak, SENTENCES)
    row = error_row("spoken", Echo(), SENTENCES, drawn, 10.0)
    assert DRAWS > 1
    assert row.value == pytest.approx(25 / DRAWS)  # one of four words in the first draw, none in the others
    assert (row.count, row.target) == (2 * DRAWS, 10.0)
