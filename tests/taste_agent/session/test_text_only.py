"""Where nothing sounds, replies come as fast as they are thought."""

import numpy as np

from taste_agent import events as ev
from taste_agent.dialog.worker import CostMeter, DialogWorker
from taste_agent.session.engine import Session
from taste_agent.session.runner import VirtualRunner
from tests.taste_agent.fakes import FakeBrain, settings
from tests.taste_agent.speech import RATE

STORY = " ".join(f"word{i}" for i in range(100))


def text_session(brain: FakeBrain) -> tuple[Session, list[ev.Event]]:
    config, events = settings(), []
    meter = CostMeter("fixed", config.replay.fixed)
    runner = VirtualRunner(DialogWorker(brain, config, meter, speaks=False), meter)
    return Session(config, runner, events.append, speaks=False), events


def of(events, kind):
    return [event for event in events if isinstance(event, kind)]


def test_a_reply_is_there_when_its_last_word_is_thought():
    brain = FakeBrain(replies=[STORY])
    brain.speak = None  # no sound is made
    session, events = text_session(brain)
    session.type_text("tell me a story")
    assert not session.process(np.zeros(30 * RATE, np.float32)).any()
    (finished,) = of(events, ev.ReplyFinished)
    (generated,) = of(events, ev.ReplyGenerated)
    assert (finished.text, finished.underruns) == (STORY, 0)
    assert finished.at - generated.at <= 640
    assert len(of(events, ev.WordHeard)) == 100
    assert len(of(events, ev.FirstAudio)) == 1
    assert brain.history == [("user", "tell me a story"), ("assistant", STORY)]


def test_an_interrupted_reply_keeps_the_words_that_were_shown():
    brain = FakeBrain(replies=[STORY, "fine"])
    session, events = text_session(brain)
    session.type_text("tell me a story")
    session.process(np.zeros(2 * RATE, np.float32))
    session.type_text("stop")
    session.process(np.zeros(2 * RATE, np.float32))
    (cut,) = of(events, ev.ReplyCancelled)
    assert 10 < cut.heard_words < 100
    assert brain.history[1] == ("assistant", cut.heard_text)
    assert brain.history[3] == ("assistant", "fine")
