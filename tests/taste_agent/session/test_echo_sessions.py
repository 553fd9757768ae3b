"""What happens to speech that the gate knows as the agent's own: it is dropped, and said to be an echo."""

import json

import pytest

from taste_agent import events as ev
from taste_agent.audio.text_gate import EchoGate, GatedBrain, PlayedWord
from taste_agent.ui.live import render
from taste_agent.ui.plain import plain_line
from taste_agent.ui.state import ViewState, reduce
from tests.taste_agent.fakes import RATE, FakeBrain, run_session
from tests.taste_agent.speech import silence, spoken, track

LONG = "this is quite a long answer and it goes on for a good while so that you can interrupt me"


def gated_session(audio, brain, *played, played_at_s):
    """A session whose gate believes that `played` sounded then."""
    sessions = []
    gate = EchoGate(0.6, lambda: sessions[0].now)
    for word in played:
        gate.played(PlayedWord(word, round(played_at_s * RATE)))
    return run_session(audio, GatedBrain(brain, gate), actions={1: sessions.append})


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
    assert dropped(done) == [("nothing_recognised", "")]


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


@pytest.mark.parametrize("width", [80, 160])
def test_an_echo_is_seen_in_every_form_of_output(width):
    event = ev.SpeechDropped(16000, (3,), "echo", "the sun is up")
    state = reduce(reduce(ViewState(), ev.SessionStarted(0, "mic", "small", 320, RATE)), event)
    screen = "\n".join(line.plain for line in render(state, width, 24).renderables)
    assert "heard only my own echo" in screen
    assert plain_line(event) == "[    1.00] heard only my own echo"
    shown = json.loads(event.to_json())
    assert (shown["kind"], shown["reason"], shown["text"]) == ("speech_dropped", "echo", "the sun is up")
