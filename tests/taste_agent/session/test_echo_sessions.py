"""What happens to speech that the gate knows as the agent's own: it is dropped, and said to be an echo."""

import json

import numpy as np
import pytest

from taste_agent import events as ev
from taste_agent.dialog.echo_gate import EchoGate
from taste_agent.dialog.worker import CostMeter, DialogWorker
from taste_agent.session.engine import Session
from taste_agent.session.runner import VirtualRunner
from taste_agent.ui.chat_views import plain_line
from taste_agent.ui.live import render
from taste_agent.ui.state import ViewState, reduce
from taste_speech.recognition.base import Recognition, RecognizedWord
from taste_speech.words import Word
from tests.taste_agent.audio.talker import Talker
from tests.taste_agent.fakes import RATE, FakeBrain, Outcome, run_session, settings
from tests.taste_agent.speech import silence, spoken, track

LONG = "this is quite a long answer and it goes on for a good while so that you can interrupt me"


def gated_session(audio, brain, *played, played_at_s):
    """A session whose gate believes that `played` sounded then."""
    gate = EchoGate(lambda: 0.6)
    for word in played:
        gate.played(Word(word, end=round(played_at_s * RATE)))
    return run_session(audio, brain, gate=gate)


def dropped(done):
    return [(event.reason, event.text) for event in done.of(ev.SpeechDropped)]


def test_echo_while_listening_is_dropped_as_echo_and_not_answered():
    audio = track(silence(1), spoken("the sun is up"), silence(2))
    brain = FakeBrain(["the sun is up"], ["no"])
    done = gated_session(audio, brain, "the", "sun", "is", "up", played_at_s=1.5)
    assert dropped(done) == [("echo", "the sun is up")]
    assert not done.of(ev.TurnEnded)


def test_what_is_not_understood_is_no_echo():
    audio = track(silence(1), spoken("the sun is up"), silence(2))
    done = gated_session(audio, FakeBrain([""], ["no"]), "the", "sun", "is", "up", played_at_s=1.5)
    assert dropped(done) == [("nothing_recognized", "")]


def test_echo_over_the_reply_lets_it_go_on_and_says_why():
    audio = track(silence(1), spoken("tell me a story"), silence(4), spoken("sun is up"), silence(3))
    brain = FakeBrain(["tell me a story", "sun is up"], [LONG])
    at_s = 5.3 + len(spoken("tell me a story")) / RATE
    done = gated_session(audio, brain, "the", "sun", "is", "up", played_at_s=at_s)
    assert not done.of(ev.ReplyCancelled)
    assert dropped(done) == [("echo", "sun is up")]
    assert [event.reason for event in done.of(ev.PlaybackResumed)] == ["echo"]
    assert [event.text for event in done.of(ev.ReplyFinished)] == [LONG]


def test_what_the_person_says_beside_the_echo_is_answered():
    audio = track(silence(1), spoken("the sun is up stop that now please"), silence(3))
    brain = FakeBrain(["the sun is stop that now please"], ["yes"])
    done = gated_session(audio, brain, "the", "sun", "is", "up", played_at_s=1.5)
    assert dropped(done) == []
    assert [event.text for event in done.of(ev.UserTurn)] == ["stop that now please"]


class Room:
    """A session whose output comes back into its microphone, and a recognizer that understands both.

    `said` are the person's words and the second at which each ends.
    """

    def __init__(self, delay_s, said):
        self.delay = round(delay_s * RATE)
        self.said = [(text, round(at_s * RATE)) for text, at_s in said]
        self.played = []
        self.events = []
        config = settings()
        meter = CostMeter("fixed", config.replay.fixed)
        self.brain = Talker(replies=[LONG, "all right"])
        self.brain.scripted = self
        gate = EchoGate(lambda: config.echo.text_gate_slack_s)
        worker = DialogWorker(self.brain, config, meter, gate=gate)
        self.gate = gate
        self.session = Session(config, VirtualRunner(worker, meter), self.take)

    def take(self, event):
        self.events.append(event)
        if isinstance(event, ev.WordHeard):
            self.gate.played(Word(event.text, end=event.at))
            self.played.append((event.text, event.at + self.delay))

    def run(self, person):
        block = 320
        out = np.zeros(self.delay, np.float32)
        for at in range(0, len(person) - block + 1, block):
            heard = person[at : at + block] + 0.5 * out[at : at + block]
            out = np.concatenate([out, self.session.process(heard)])
        self.session.close()
        return Outcome(self.events, out[self.delay :], self.brain)

    # ---- the recognizer

    def start(self):
        self.since = self.session.now - RATE // 2

    def accept(self, samples):
        pass

    def partial(self):
        words = sorted(self.said + self.played, key=lambda word: word[1])
        return " ".join(text for text, at in words if self.since <= at <= self.session.now)

    def finish(self):
        words = self.partial().split()
        return Recognition(" ".join(words), tuple(RecognizedWord(word) for word in words))


def words_of(samples, text, at_s):
    """The words of a spoken text with their ends, evenly."""
    words = text.split()
    return [(word, at_s + len(samples) / RATE * (i + 1) / len(words)) for i, word in enumerate(words)]


@pytest.mark.parametrize("delay_s", [0.3, 0.95, 1.2])
def test_an_echo_longer_than_what_takes_the_floor_does_not_take_it(delay_s):
    question = spoken("tell me a story")
    done = Room(delay_s, words_of(question, "tell me a story", 1)).run(
        track(silence(1), question, silence(20 + 12 * delay_s))
    )
    assert [event.text for event in done.of(ev.UserTurn)] == ["tell me a story"]
    assert not done.of(ev.ReplyCancelled)
    assert {event.reason for event in done.of(ev.PlaybackResumed)} == {"echo"}
    assert [event.text for event in done.of(ev.ReplyFinished)] == [LONG]
    over = [event.first_sample for event in done.of(ev.SpeechStarted)[1:]]
    longest = max(
        end.last_sample - first for first, end in zip(over, done.of(ev.SpeechEnded)[1:], strict=True)
    )
    assert longest > min(delay_s, 0.95) * RATE  # so that its length alone would have been enough


@pytest.mark.parametrize("delay_s", [0.3, 0.95])
def test_the_person_is_heard_through_an_echo(delay_s):
    question, stop = spoken("tell me a story"), spoken("no stop that please now", voice="low")
    stop_s = 3.4 + len(question) / RATE
    said = words_of(question, "tell me a story", 1) + words_of(stop, "no stop that please now", stop_s)
    done = Room(delay_s, said).run(
        track(silence(1), question, silence(stop_s - 1 - len(question) / RATE), stop, silence(8))
    )
    (cancelled,) = done.of(ev.ReplyCancelled)
    assert cancelled.at / RATE < stop_s + len(stop) / RATE
    assert {"stop", "that", "please", "now"} <= set(done.of(ev.UserTurn)[-1].text.split())
    assert [event.text for event in done.of(ev.ReplyFinished)] == ["all right"]


@pytest.mark.parametrize("width", [80, 160])
def test_an_echo_is_seen_in_every_form_of_output(width):
    event = ev.SpeechDropped(16000, (3,), "echo", "the sun is up")
    state = reduce(reduce(ViewState(), ev.SessionStarted(0, "mic", "small", 320, RATE)), event)
    screen = "\n".join(line.plain for line in render(state, width, 24).renderables)
    assert "heard only my own echo" in screen
    assert plain_line(event) == "[    1.00] heard only my own echo"
    shown = json.loads(event.to_json())
    assert (shown["kind"], shown["reason"], shown["text"]) == ("speech_dropped", "echo", "the sun is up")
