"""How many conversations a machine holds."""

import time

import numpy as np
import pytest

from taste_agent.dialog.brain import ReplyItem, Sound
from taste_agent.serve.capacity import Capacity, measure_capacity
from tests.taste_agent.fakes import FakeBrain, settings
from tests.taste_agent.serve.talking import mind_of


@pytest.mark.parametrize(
    ("capacity", "sessions"),
    [
        (Capacity(hearing_rtf=0.1, speaking_rtf=0.25), 3),
        (Capacity(hearing_rtf=0.4, speaking_rtf=0.25), 2),
        (Capacity(hearing_rtf=0.1, speaking_rtf=0.81), 0),
    ],
)
def test_as_many_as_fit_into_four_fifths_of_the_time(capacity: Capacity, sessions: int) -> None:
    assert capacity.sessions == sessions


class SlowBrain(FakeBrain):
    """Takes .1 s for each .4 s of what it says, and .1 s for what it hears."""

    def speak(self, item: ReplyItem) -> Sound:
        time.sleep(0.1 * len(item.words))
        return super().speak(item)

    def tokenize(self, text: str, samples: np.ndarray) -> list[str]:
        self.log.append(text)
        return super().tokenize(text, samples)


def test_what_speaking_costs_is_measured_and_nothing_is_remembered() -> None:
    brain = SlowBrain(heard=["a b", "c d"], replies=["one two", "three four"])
    brain.settle = lambda heard: pytest.fail("something is remembered")  # type: ignore[method-assign]
    found = measure_capacity(mind_of(brain), settings())
    assert 0.25 <= found.speaking_rtf < 1.0
    assert found.hearing_rtf < found.speaking_rtf  # a scripted recognizer takes no time
    assert brain.log == ["a b", "prefill a b", "c d", "prefill c d"]  # the first answer is to warm up
    assert brain.history == []
