"""Whose step is next, and what a session gets of it."""

import threading
import time
from typing import Any

import numpy as np
import pytest

from taste_agent.dialog import messages as m
from taste_agent.dialog.worker import CostMeter
from taste_agent.serve.computing import Claim, Computing, first_due
from taste_agent.serve.mind import MindWorker
from tests.taste_agent.fakes import FakeBrain, settings
from tests.taste_agent.serve.talking import mind_of


def test_what_is_due_first_is_next_and_then_what_was_asked_for_first() -> None:
    claims = [Claim(3.0, 1), Claim(1.0, 5), Claim(1.0, 4)]
    assert first_due(claims) == Claim(1.0, 4)
    assert first_due([]) is None


class Place:
    """A session's place at the computing thread, with a brain that notes when it speaks."""

    def __init__(self, computing: Computing, name: str, words: int, log: list[str]) -> None:
        brain = FakeBrain(replies=[" ".join(["word"] * words)])

        def make() -> Any:
            mind = mind_of(brain)
            worker = MindWorker(mind, settings(), CostMeter())
            continue_reply = worker.continue_reply

            def noted() -> Any:
                log.append(name)
                return continue_reply()

            worker.continue_reply = noted  # type: ignore[method-assign]
            return worker, mind

        self.runner = computing.join(make)

    def results(self, kind: type, within_s: float = 20.0) -> list[Any]:
        end_s, found = time.monotonic() + within_s, []
        while time.monotonic() < end_s:
            found += self.runner.collect(0)
            if any(isinstance(result, kind) for result in found):
                return found
            time.sleep(0.01)
        pytest.fail(f"no {kind.__name__}")


def test_who_asks_does_not_wait_for_what_another_makes_ahead() -> None:
    computing, log = Computing(), []
    long, short = (Place(computing, name, words, log) for name, words in (("long", 40), ("short", 2)))
    long.runner.submit(m.AnswerText(1, "tell me a story"), 0)
    long.runner._step()  # the answer has begun
    for _ in range(3):
        long.runner._step()
    short.runner.submit(m.AnswerText(1, "hello"), 0)
    log.clear()
    computing.start()
    short.results(m.Generated)
    assert log.index("short") <= 1
    long.results(m.Generated)
    computing.stop()


def test_the_one_whose_sound_runs_dry_first_is_served() -> None:
    computing, log = Computing(), []
    places = [Place(computing, name, 12, log) for name in ("a", "b")]
    for place in places:
        place.runner.submit(m.AnswerText(1, "go"), 0)
        place.runner._step()
    for _ in range(4):
        places[0].runner._step()  # `a` has four chunks ahead
    log.clear()
    computing.start()
    for place in places:
        place.results(m.Generated)
    computing.stop()
    assert log[:4] == ["b"] * 4


def test_hearing_goes_before_speaking_within_a_session() -> None:
    computing, log = Computing(), []
    place = Place(computing, "a", 40, log)
    place.runner.submit(m.AnswerText(1, "go"), 0)
    place.runner._step()
    place.runner.submit(m.Hear(0, 0, np.zeros(1600, np.float32)), 0)
    place.runner._step()
    assert log == []


def test_a_job_runs_after_what_was_asked_for_before() -> None:
    computing, log, done = Computing(), [], threading.Event()
    place = Place(computing, "a", 2, log)
    place.runner.submit(m.AnswerText(1, "go"), 0)
    seen: list[bool] = []

    def job(worker: MindWorker, mind: Any) -> list[m.Result]:
        seen.append(worker.replying)
        done.set()
        return []

    place.runner.do(job)
    computing.start()
    assert done.wait(20)
    computing.stop()
    assert seen == [True]


def test_an_error_is_raised_where_the_session_is_and_the_others_go_on() -> None:
    computing = Computing()

    def broken() -> Any:
        raise RuntimeError("no memory")

    bad = computing.join(broken)
    good = Place(computing, "good", 2, [])
    bad.submit(m.AnswerText(1, "go"), 0)
    good.runner.submit(m.AnswerText(1, "go"), 0)
    computing.start()
    good.results(m.Generated)
    with pytest.raises(RuntimeError, match="no memory"):
        bad.collect(0)
    bad.close()
    computing.stop()


def test_a_session_that_has_left_gets_no_further_step() -> None:
    computing, log = Computing(), []
    place, other = Place(computing, "a", 40, log), Place(computing, "b", 2, [])
    place.runner.submit(m.AnswerText(1, "go"), 0)
    place.runner.close()
    place.runner.close()
    computing.start()
    other.runner.submit(m.AnswerText(1, "go"), 0)
    other.results(m.Generated)
    computing.stop()
    assert log == []


def test_usage_is_that_of_the_reply() -> None:
    computing = Computing()
    place = Place(computing, "a", 6, [])
    place.runner.submit(m.AnswerText(7, "go"), 0)
    computing.start()
    place.results(m.Generated)
    computing.stop()
    assert (place.runner.usage[7].read.text, place.runner.usage[7].made.text) == (1, 6)
