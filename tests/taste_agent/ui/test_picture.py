from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from taste_agent import events as ev
from taste_agent.session.transcript import Transcript
from taste_agent.ui.picture import Envelope, SessionPicture, drawable
from taste_speech.words import Word

RATE = 16000


def test_the_envelope_keeps_peaks_whatever_the_blocks():
    samples = np.random.default_rng(0).standard_normal(5 * RATE).astype(np.float32)
    whole, parts = Envelope(), Envelope()
    whole.add(samples)
    for start in range(0, len(samples), 777):
        parts.add(samples[start : start + 777])
    assert whole.peaks == parts.peaks
    assert len(whole.peaks) == 250
    times, peaks = whole.between(1.0, 3.0, 40)
    assert len(times) == len(peaks) <= 50
    assert peaks.max() == np.abs(samples[RATE : 3 * RATE]).max()


def session_events() -> list[ev.Event]:
    words = (Word("hello", start=RATE, end=2 * RATE),)
    return [
        ev.SpeechStarted(18000, RATE),
        ev.SpeechEnded(36000, 2 * RATE),
        ev.TurnEnded(44000, 1, (0,), 2 * RATE, 700.0, None, "silence"),
        ev.UserTurn(44000, 1, "hello", words, RATE, 2 * RATE),
        ev.FirstAudio(48000, 1, 750.0, 250.0, 0.0, 80.0, 60.0, 40.0, 50.0, 120.0),
        ev.WordHeard(54000, 1, 0, "yes"),
        ev.PlaybackPaused(60000, 1, 58000),
        ev.ReplyCancelled(64000, 1, "word", 1, "yes", "of course"),
        ev.SessionEnded(80000, "end_of_input"),
    ]


def drawn(seconds: float, path: Path, title: str = "talk.wav") -> np.ndarray:
    picture, transcript = SessionPicture(), Transcript()
    for event in session_events():
        picture.take(event)
        transcript.take(event)
    sound = np.full(round(seconds * RATE), 0.1, np.float32)
    picture.person.add(sound)
    picture.agent.add(sound)
    picture.draw(path, transcript, title)
    return matplotlib.image.imread(path)


def test_a_picture_of_any_length_is_drawn(tmp_path):
    for seconds in (0, 5, 65, 3600):
        image = drawn(seconds, tmp_path / "p.png")
        assert 250 < image.shape[0] < 400, "what is silent takes no rows"
        assert image.shape[1] == 1600
        colors = {tuple((pixel[:3] * 255).astype(int)) for pixel in image.reshape(-1, 4)[::97]}
        assert (0x25, 0x63, 0xA8) in colors or seconds == 0  # the person's waveform


@pytest.mark.filterwarnings("error")
def test_a_title_that_the_font_lacks_is_replaced(tmp_path, capfd):
    plain = drawn(5, tmp_path / "plain.png", "")
    assert np.array_equal(drawn(5, tmp_path / "p.png", "問題.wav"), plain)
    assert not np.array_equal(drawn(5, tmp_path / "p.png", "talk.wav"), plain)
    assert capfd.readouterr().err == ""


def test_letters_that_the_font_lacks_are_replaced():
    assert drawable("où est 問題?", "?") == "où est ???"
    assert (drawable("où", ""), drawable("問題", "")) == ("où", "")


def test_the_label_of_an_interruption_leaves_room_for_the_arrow_to_the_next_answer():
    picture, transcript = SessionPicture(), Transcript()
    for event in session_events():
        picture.take(event)
        transcript.take(event)
    picture.person.add(np.full(5 * RATE, 0.1, np.float32))
    picture.agent.add(np.full(5 * RATE, 0.1, np.float32))
    figure = picture._figure(transcript.turns, "")
    figure.draw_without_rendering()
    label = next(text for text in figure.axes[0].texts if "interrupted" in text.get_text())
    line_s = 64000 / RATE
    at = figure.axes[0].transData.inverted().transform(label.get_window_extent())
    assert at[1, 0] <= line_s
