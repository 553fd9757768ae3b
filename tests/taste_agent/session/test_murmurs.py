"""Murmurs over a reply of the shipped checkpoint must not stop it; its card says how many strangers' do."""

import numpy as np
import pytest
import soundfile

from taste_agent import events as ev
from taste_agent.config.sources import load_settings
from taste_agent.dialog.brain_loader import load_brain
from taste_agent.replay import run_replay
from taste_speech.sound_file import SoundFile
from tests.taste_agent.speech import RATE, silence, spoken, track

QUESTION = "count from one to twenty"


def talk(tmp_path, said: np.ndarray) -> list[ev.Event]:
    """Events of a talk in which something is said about three seconds into a long answer."""
    audio = track(silence(0.5), spoken(QUESTION, voice="low"), silence(4), said, silence(9))
    soundfile.write(tmp_path / "talk.wav", audio, RATE)
    overrides = ("replay.compute_time=fixed", "sampling.seed=1")
    settings = load_settings(None, overrides, environment={}).settings
    events: list[ev.Event] = []
    run_replay(SoundFile(tmp_path / "talk.wav"), settings, tmp_path / "out", load_brain, events.append)
    return events


def of_kind(events, kind):
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.parametrize(
    ("text", "voice"),
    [
        ("[[mˈm hˈm]]", "low"),
        ("um hum", "high"),
        ("uh-huh", "high"),
        ("yeah", "high"),
        ("okay", "low"),
    ],
)
def test_the_agent_goes_on_after_a_murmur(tmp_path, text, voice):
    events = talk(tmp_path, spoken(text, voice))
    (reply,) = of_kind(events, ev.ReplyFinished)
    assert reply.text.lower().rstrip(".").endswith("twenty")
    assert len(of_kind(events, ev.UserTurn)) == 1
    assert of_kind(events, ev.PlaybackPaused)  # it was heard, and listened to
    went_on = of_kind(events, ev.PlaybackResumed) + of_kind(events, ev.ReplyTakenUp)
    assert len(went_on) == 1  # at once, or when it was clear that there is nothing to answer


def test_the_agent_stops_for_what_is_meant(tmp_path):
    events = talk(tmp_path, spoken("stop please", voice="high"))
    (cut,) = of_kind(events, ev.ReplyCancelled)
    assert cut.heard_text.startswith("One, two,")
    assert len(of_kind(events, ev.UserTurn)) == 2
