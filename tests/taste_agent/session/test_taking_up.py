"""An interruption that came to nothing, and the key that takes the floor."""

import numpy as np
import pytest

from taste_agent import events as ev
from taste_agent.session.engine import Session
from tests.taste_agent.fakes import FakeBrain, run_session
from tests.taste_agent.speech import RATE, at_level, music, noise, silence, spoken, track

STORY = "once there was a little boat that was afraid of the sea and it stayed in the harbour all day long"


def story_interrupted_by(text: str, probability: float | None, sound: np.ndarray | None = None):
    question = spoken("tell me a story")
    said = spoken("no stop that please") if sound is None else sound
    audio = track(silence(1), question, silence(5), said, silence(14))
    brain = FakeBrain(["tell me a story", text], [STORY, "all right"], [1.0, probability])
    return run_session(audio, brain)


@pytest.mark.parametrize(("text", "probability"), [("um home", 0.0), ("emma meat i am um", 0.5), ("", 1.0)])
def test_a_reply_that_was_cut_for_nothing_goes_on_at_a_word(text, probability):
    done = story_interrupted_by(text, probability)
    (cut,) = done.of(ev.ReplyCancelled)
    (taken_up,) = done.of(ev.ReplyTakenUp)
    (finished,) = done.of(ev.ReplyFinished)
    assert cut.heard_words > 0
    assert taken_up.generation == finished.generation
    assert finished.text == cut.cut_text
    assert done.brain.history == [("user", "tell me a story"), ("assistant", STORY)]
    assert len(done.of(ev.UserTurn)) == 1


def test_a_replay_waits_for_the_reply_that_goes_on():
    audio = track(silence(1), spoken("tell me a story"), silence(5), spoken("no stop that please"))
    brain = FakeBrain(["tell me a story", ""], [STORY])
    done = run_session(audio, brain, "replay.compute_time=zero", block_samples=320)
    assert done.brain.history == [("user", "tell me a story"), ("assistant", STORY)]


def siren(seconds: float) -> np.ndarray:
    """A tone that goes up and down between 600 and 1200 Hz every two seconds."""
    time = np.arange(round(seconds * RATE)) / RATE
    pitch = 900 + 300 * np.sin(np.pi * time)
    return at_level(np.sin(2 * np.pi * np.cumsum(pitch) / RATE).astype(np.float32), -20)


@pytest.mark.parametrize("sound", ["barking", "laughter", "melody", "siren", "noise"])
def test_what_is_no_speech_only_pauses_a_reply(sound):
    barks = np.concatenate([part for _ in range(4) for part in (spoken("hau hau hau"), silence(0.8))])
    samples = {
        "barking": barks,
        "laughter": spoken("ha ha ha ha ha ha ha ha ha ha ha ha"),
        "melody": music(8),
        "siren": siren(8),
        "noise": noise(8, -20),
    }[sound]
    done = story_interrupted_by("", 1.0, samples)
    assert done.brain.history == [("user", "tell me a story"), ("assistant", STORY)]
    assert len(done.of(ev.UserTurn)) == 1


@pytest.mark.parametrize("probability", [0.51, 1.0, None])
def test_what_the_model_would_answer_is_answered(probability):
    done = story_interrupted_by("no stop that please", probability)
    assert not done.of(ev.ReplyTakenUp)
    assert done.brain.history[2:] == [("user", "no stop that please"), ("assistant", "all right")]


def test_the_key_after_a_cut_keeps_the_reply_silent():
    question, said = spoken("tell me a story"), spoken("no stop that please")
    audio = track(silence(1), question, silence(5), said, silence(8))
    at = 6 * RATE + len(question) + len(said) + RATE // 4
    brain = FakeBrain(["tell me a story", "um home"], [STORY, "all right"], [1.0, 0.0])
    done = run_session(audio, brain, actions={at: Session.interrupt})
    assert not done.of(ev.ReplyTakenUp)
    assert brain.history[2:] == [("user", "um home"), ("assistant", "all right")]


def test_the_key_takes_the_floor_in_a_monologue():
    monologue = np.concatenate([spoken("and then we went along the river until we came to the old mill")] * 4)
    done = run_session(
        track(silence(1), monologue, silence(4)),
        FakeBrain(["and then we went along the river"], ["i see"]),
        actions={4 * RATE: Session.interrupt},
    )
    (turn,) = done.of(ev.TurnEnded)
    assert turn.reason == "key"
    assert 4 * RATE <= turn.at <= 4.5 * RATE
    (finished,) = done.of(ev.ReplyFinished)
    assert finished.text == "i see"
    assert finished.at < RATE + len(monologue)


def test_the_key_asks_for_an_answer_to_what_was_left_open():
    audio = track(silence(1), spoken("tell me a story"), silence(8))
    at = RATE + len(spoken("tell me a story")) + int(0.85 * RATE)
    brain = FakeBrain(["tell me a story"], ["never", "fine"])
    done = run_session(audio, brain, actions={at: Session.interrupt, at + 3 * RATE: Session.interrupt})
    assert [e.reason for e in done.of(ev.TurnEnded)] == ["silence", "key"]
    assert brain.history == [("user", "tell me a story"), ("assistant", "fine")]


def test_words_that_wait_for_more_are_forgotten_after_some_seconds():
    audio = track(silence(1), spoken("tell me a story"), silence(12), spoken("who are you"), silence(4))
    at = RATE + len(spoken("tell me a story")) + int(0.85 * RATE)
    brain = FakeBrain(["tell me a story", "who are you"], ["never", "taste"])
    done = run_session(audio, brain, actions={at: Session.interrupt})
    assert [e.reason for e in done.of(ev.SpeechDropped)] == ["unanswered"]
    assert brain.history == [("user", "who are you"), ("assistant", "taste")]
