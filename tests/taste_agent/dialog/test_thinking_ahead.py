"""The first chunk of an answer is made before it is asked for, and nothing is left of one that is not."""

import numpy as np
import pytest

from taste_agent import events as ev
from taste_agent.dialog import messages as m
from taste_agent.dialog.worker import CostMeter, DialogWorker
from tests.taste_agent.fakes import FakeBrain, run_session, settings
from tests.taste_agent.speech import RATE, silence, spoken, track

TEXT = "it is noon and the sun is high"


def worker_of(brain: FakeBrain) -> DialogWorker:
    return DialogWorker(brain, settings(), CostMeter("zero"))


def hear(worker: DialogWorker, piece: int) -> None:
    worker.execute(m.Hear(piece, piece * RATE, np.zeros(RATE, np.float32)))
    worker.execute(m.ClosePiece(piece))


def test_the_first_chunk_is_there_when_it_is_asked_for():
    worker = worker_of(FakeBrain(["what time is it"], [TEXT], probabilities=[0.9]))
    hear(worker, 1)
    worker.execute(m.Prepare((1,)))
    assert worker.working
    assert not worker.replying
    assert worker.continue_reply() == []
    assert not worker.working
    (first,) = worker.execute(m.Answer(4, (1,)))
    assert (first.generation, [word.text for word in first.words]) == (4, ["it", "is"])
    assert worker.replying
    (second,) = worker.continue_reply()
    assert (second.generation, [word.text for word in second.words]) == (4, ["noon", "and"])


@pytest.mark.parametrize(("probability", "ahead"), [(0.9, True), (None, True), (0.3, False)])
def test_only_an_answer_that_the_model_would_give_is_begun(probability, ahead):
    worker = worker_of(FakeBrain(["what time is it"], [TEXT], probabilities=[probability]))
    hear(worker, 1)
    worker.execute(m.Prepare((1,)))
    assert worker.working is ahead


def test_who_goes_on_gets_the_answer_that_would_have_been_given_anyway():
    brain = FakeBrain(["what time", "is it there"], [TEXT], probabilities=[0.9])
    worker = worker_of(brain)
    hear(worker, 1)
    worker.execute(m.Prepare((1,)))
    worker.continue_reply()
    hear(worker, 2)
    assert not worker.working
    worker.execute(m.Prepare((1, 2)))
    assert "take back" in brain.log
    worker.continue_reply()
    (first,) = worker.execute(m.Answer(1, (1, 2)))
    assert [word.text for word in first.words] == ["it", "is"]


def test_nothing_is_made_ahead_while_somebody_speaks_or_an_answer_is_given():
    worker = worker_of(FakeBrain(["what time is it", "so"], [TEXT], probabilities=[0.9]))
    hear(worker, 1)
    worker.execute(m.Prepare((1,)))
    worker.execute(m.Hear(2, 3 * RATE, np.zeros(RATE, np.float32)))
    assert not worker.working
    worker.execute(m.ClosePiece(2))
    worker.execute(m.Answer(1, (1,)))
    while worker.replying:
        worker.continue_reply()
    assert not worker.working


def test_what_fails_ahead_is_told_when_it_is_asked_for():
    class Broken(FakeBrain):
        def speak(self, item):
            raise ValueError("no voice")

    brain = Broken(["what time is it"], [TEXT], probabilities=[0.9])
    worker = worker_of(brain)
    hear(worker, 1)
    worker.execute(m.Prepare((1,)))
    assert worker.continue_reply() == []
    assert not worker.working
    assert worker.execute(m.Answer(1, (1,))) == []
    assert worker.continue_reply() == [m.Failed(1, "no voice")]


def test_the_person_does_not_wait_for_the_first_chunk():
    audio = track(silence(1), spoken("what time is it"), silence(4))
    costs = ("replay.compute_time=fixed", "replay.fixed.word_ms=40", "replay.fixed.detokenize_ms=150")
    sure, unsure = (
        run_session(audio, FakeBrain(["what time is it"], [TEXT], probabilities=[p]), *costs)
        for p in (1.0, 0.5)
    )
    (ahead,), (after,) = sure.of(ev.FirstAudio), unsure.of(ev.FirstAudio)
    assert (ahead.think_ms, ahead.voice_ms) == (after.think_ms, after.voice_ms) == (80, 150)
    assert ahead.computing_ms <= 40  # two frames
    assert after.computing_ms >= 230
