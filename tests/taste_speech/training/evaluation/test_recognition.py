"""Rows of the recognisers."""

import numpy as np
import pytest

from taste_speech.recognition.base import Recognition
from taste_speech.training.evaluation.material import Spoken
from taste_speech.training.evaluation.recognition import murmur_row, rows


class Parrot:
    """Has heard everything that was accepted, and always finds the same words in it."""

    def __init__(self, text: str) -> None:
        self.text, self.samples = text, 0

    def start(self) -> None:
        self.samples = 0

    def accept(self, samples: np.ndarray) -> None:
        self.samples += len(samples)

    def partial(self) -> str:
        return ""

    def finish(self) -> Recognition:
        assert self.samples == 4000
        return Recognition(self.text)


def test_each_recogniser_has_its_errors_and_time() -> None:
    spoken = [Spoken(text, np.zeros(4000, np.float32), "voice") for text in ("Good day!", "Good night!")]
    errors, time_s, *others = rows(
        {"one": Parrot("good day"), "two": Parrot("good morning")}, spoken, ", noisy"
    )
    assert errors.name == "recogniser one: word error, noisy"
    assert errors.value == pytest.approx(25.0)
    assert errors.count == 2
    assert (time_s.unit, time_s.value >= 0) == ("s", True)
    assert others[0].value == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("heard", "taken"), [("mhm", 0.0), ("", 0.0), ("uh huh", 0.0), ("i have", 100.0), ("oh stop", 100.0)]
)
def test_a_murmur_heard_as_something_meant_is_counted(heard, taken) -> None:
    row = murmur_row(Parrot(heard), [Spoken("mhm", np.zeros(4000, np.float32), "voice")] * 3)
    assert (row.value, row.unit, row.count) == (taken, "%", 3)
