"""Digital silence is no quiet room, and neither an offset nor hum hides or makes speech."""

import numpy as np
import pytest

from taste_agent import events as ev
from tests.taste_agent.fakes import FakeBrain, run_session
from tests.taste_agent.speech import RATE, noise, silence, spoken, track

STORY = "this is quite a long answer and it goes on for a good while so that you can mute the microphone"


def noisy_question(tail_s: float) -> np.ndarray:
    audio = track(silence(3), spoken("tell me a story"), silence(tail_s))
    return audio + noise(len(audio) / RATE, -42)[: len(audio)]


def test_muting_in_a_noisy_room_leaves_the_reply_alone():
    done = run_session(
        noisy_question(12),
        FakeBrain(["tell me a story"], [STORY]),
        actions={7 * RATE: lambda s: s.set_muted(True), 8 * RATE: lambda s: s.set_muted(False)},
    )
    assert len(done.of(ev.SpeechStarted)) == 1
    assert [e.text for e in done.of(ev.ReplyFinished)] == [STORY]


@pytest.mark.parametrize("gap_samples", [100, 700, 1600, 8000])
def test_a_gap_in_a_noisy_room_is_not_followed_by_speech(gap_samples):
    audio = noise(10, -42)
    for start in range(3 * RATE, 10 * RATE, 27777):
        audio[start : start + gap_samples] = 0
    done = run_session(audio, FakeBrain())
    assert not done.of(ev.SpeechStarted)


def test_speech_between_digital_silences_is_heard():
    zeros = np.zeros(2 * RATE, np.float32)
    audio = np.concatenate([zeros, spoken("what is the time"), zeros, spoken("who are you"), zeros])
    done = run_session(audio, FakeBrain(["what is the time", "who are you"], ["noon", "taste"]))
    assert [e.text for e in done.of(ev.UserTurn)] == ["what is the time", "who are you"]


@pytest.mark.parametrize("offset", [0.1, 0.2, -0.2])
def test_an_offset_changes_nothing(offset):
    audio = track(silence(1), spoken("what is the time"), silence(3))
    done = run_session((audio + offset).astype(np.float32), FakeBrain(["what is the time"], ["noon"]))
    (turn,) = done.of(ev.UserTurn)
    assert turn.start == pytest.approx(RATE, abs=0.1 * RATE)
    assert len(turn.words) == 4


@pytest.mark.parametrize("hum_hz", [50, 60])
def test_a_sentence_over_hum_stays_one_piece(hum_hz):
    text = "i would like to know how long the river is"
    audio = track(silence(1), spoken(text), silence(3))
    hum = 0.1 * np.sin(2 * np.pi * hum_hz * np.arange(len(audio)) / RATE)
    done = run_session((audio + hum).astype(np.float32), FakeBrain([text], ["in the hills"]))
    assert [e.text for e in done.of(ev.UserTurn)] == [text]
    assert len(done.of(ev.PieceRecognized)) == 1
