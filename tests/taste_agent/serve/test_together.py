"""Two sessions on one model give what each of them gives alone."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from taste_agent.config import AgentSettings
from taste_agent.dialog.worker import CostMeter, DialogWorker
from taste_agent.events import Event, ReplyFinished
from taste_agent.serve.mind import ServedModel, load_served_model
from taste_agent.session.engine import Session
from taste_agent.session.runner import VirtualRunner
from tests.taste_agent.fakes import settings
from tests.taste_agent.speech import silence, spoken, track

FRAME = 320
QUESTIONS = ("what is the capital of italy", "what is seven plus five")


def session(
    model: ServedModel, own: AgentSettings, sound: np.ndarray, events: list[Event], out: list[np.ndarray]
) -> Iterator[None]:
    """A session that gets on by a frame at a time."""
    meter = CostMeter("fixed", own.replay.fixed)
    runner = VirtualRunner(DialogWorker(model.make_mind(own), own, meter), meter)
    one = Session(own, runner, events.append)
    for first in range(0, len(sound) - FRAME, FRAME):
        out.append(one.process(sound[first : first + FRAME]))
        yield
    while not one.idle and one.now < len(sound) + 20 * 16000:
        out.append(one.process(np.zeros(FRAME, np.float32)))
        yield
    one.close()


def outcomes(model: ServedModel, together: bool, *overrides: str) -> list[tuple[list[str], bytes]]:
    """Events and sound of a session for each question, in turns or one after the other."""
    results: list[tuple[list[Event], list[np.ndarray]]] = [([], []) for _ in QUESTIONS]
    running = []
    for number, (question, (events, out)) in enumerate(zip(QUESTIONS, results, strict=True)):
        own = settings(f"sampling.seed={number + 1}", *overrides)
        sound = track(silence(0.4 + 0.3 * number), spoken(question), silence(1.5))
        running.append(session(model, own, sound, events, out))
        if not together:
            for _ in running.pop():
                pass
    while running:
        running = [one for one in running if next(one, "over") != "over"]
    return [([event.to_json() for event in events], np.concatenate(out).tobytes()) for events, out in results]


def check(model: ServedModel, *overrides: str) -> list[tuple[list[str], bytes]]:
    alone = outcomes(model, False, *overrides)
    assert outcomes(model, True, *overrides) == alone
    return alone


def test_two_sessions_at_once_are_those_alone(tiny_checkpoint: Path) -> None:
    checkpoint = f"model.checkpoint={tiny_checkpoint}"
    overrides = (checkpoint, "model.device=cpu", "sampling.max_length=6", "recognition.partial_every_ms=0")
    model = load_served_model(settings(*overrides))
    for _, sound in check(model, *overrides):
        assert np.abs(np.frombuffer(sound, np.float32)).max() > 0


@pytest.mark.soak
def test_the_shipped_checkpoint_answers_two_at_once_as_alone() -> None:
    model = load_served_model(settings())
    for (events, _), answer in zip(check(model), ("rome", "twelve"), strict=True):
        finished = [event for event in events if f'"{ReplyFinished(0, 0, "", 0, 0, 0).kind}"' in event]
        assert answer in finished[0].lower()
