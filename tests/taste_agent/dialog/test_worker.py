"""What the worker does with the audio of a piece."""

import numpy as np
import pytest

from taste_agent.dialog import messages as m
from taste_agent.dialog.worker import CostMeter, DialogWorker
from taste_agent.session.runner import VirtualRunner
from tests.taste_agent.fakes import FakeBrain, run_session, settings
from tests.taste_agent.speech import RATE, silence, spoken, track

BLOCK = np.zeros(RATE // 2, np.float32)


@pytest.mark.parametrize(("silent", "partials"), [(False, 1), (True, 0)])
def test_nothing_partial_is_recognized_once_the_person_has_paused(silent, partials):
    worker = DialogWorker(FakeBrain(["what time is it"]), settings(), CostMeter("zero"))
    results = worker.execute(m.Hear(0, 0, BLOCK, silent))
    assert len(results) == partials


def test_it_is_recognized_as_soon_as_the_person_goes_on():
    worker = DialogWorker(FakeBrain(["what time is it"]), settings(), CostMeter("zero"))
    worker.execute(m.Hear(0, 0, BLOCK, silent=True))
    (partial,) = worker.execute(m.Hear(0, len(BLOCK), BLOCK[:160]))
    assert partial.until == len(BLOCK) + 160


def test_only_the_silence_behind_speech_is_told_as_a_pause(monkeypatch):
    heard = []
    execute = DialogWorker.execute
    monkeypatch.setattr(
        DialogWorker, "execute", lambda self, c, behind: heard.append(c) or execute(self, c, behind)
    )
    question = spoken("what time is it now")
    end_s = 0.5 + len(question) / RATE
    run_session(track(silence(0.5), question, silence(2)), FakeBrain(["what time is it"], ["it is noon"]))
    blocks = [command for command in heard if isinstance(command, m.Hear)]
    assert any(block.silent for block in blocks)
    for block in blocks:
        if (block.start + len(block.samples)) / RATE < end_s - 0.1:
            assert not block.silent


def test_speech_is_not_recognized_in_part_while_more_of_it_waits():
    worker = DialogWorker(FakeBrain(["what time is it"]), settings(), CostMeter("zero"))
    assert worker.execute(m.Hear(0, 0, BLOCK), behind=True) == []
    (partial,) = worker.execute(m.Hear(0, len(BLOCK), BLOCK))
    assert partial.until == 2 * len(BLOCK)


def test_a_runner_that_is_behind_says_so(monkeypatch):
    """With 200 ms for each block, three more wait when one is done; only behind the last of them is none."""
    told = []
    config = settings("replay.compute_time=fixed", "replay.fixed.recognize_per_s_ms=4000")
    meter = CostMeter("fixed", config.replay.fixed)
    worker = DialogWorker(FakeBrain(["what time is it"]), config, meter)
    execute = worker.execute
    monkeypatch.setattr(worker, "execute", lambda c, behind: told.append(behind) or execute(c, behind))
    runner = VirtualRunner(worker, meter)
    for number in range(4):
        runner.submit(m.Hear(0, number * 800, BLOCK[:800]), number * 800)
    runner.collect(RATE)
    assert told == [False, True, True, False]


def test_recognizing_speech_in_part_takes_a_quarter_of_the_time_at_most():
    """A block of 300 ms costs 300 ms here, so that the next ones wait until 1,200 ms of speech have come."""
    config = settings("replay.compute_time=fixed", "replay.fixed.recognize_per_s_ms=1000")
    worker = DialogWorker(FakeBrain(["what time is it"]), config, CostMeter("fixed", config.replay.fixed))
    block = np.zeros(3 * RATE // 10, np.float32)
    made = [len(worker.execute(m.Hear(0, number * len(block), block))) for number in range(9)]
    assert made == [1, 0, 0, 0, 1, 0, 0, 0, 1]
