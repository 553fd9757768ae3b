import matplotlib.image
import numpy as np

from taste_agent import events as ev
from taste_agent.session.transcript import Transcript
from taste_agent.ui.picture import Envelope, SessionPicture

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
    words = (ev.TimedWord("hello", RATE, 2 * RATE),)
    return [
        ev.SpeechStarted(18000, RATE),
        ev.SpeechEnded(36000, 2 * RATE),
        ev.TurnEnded(44000, 1, (0,), 2 * RATE, 700.0, None, "silence"),
        ev.UserTurn(44000, 1, "hello", words, RATE, 2 * RATE),
        ev.FirstAudio(48000, 1, 1000.0, 750.0, 250.0, 80.0, 60.0, 40.0, 50.0, 120.0),
        ev.WordHeard(54000, 1, 0, "yes"),
        ev.PlaybackPaused(60000, 1, 58000),
        ev.ReplyCancelled(64000, 1, "word", 1, "yes", "of course"),
        ev.SessionEnded(80000, "end_of_input"),
    ]


def test_a_picture_of_any_length_is_drawn(tmp_path):
    for seconds, rows in ((0, 1), (5, 1), (65, 4), (3600, 12)):
        picture, transcript = SessionPicture(), Transcript()
        for event in session_events():
            picture.take(event)
            transcript.take(event)
        sound = np.full(seconds * RATE, 0.1, np.float32)
        picture.person.add(sound)
        picture.agent.add(sound)
        picture.draw(tmp_path / "p.png", transcript, "talk.wav")
        image = matplotlib.image.imread(tmp_path / "p.png")
        assert image.shape[:2] == (110 + 250 * rows, 1600)
        colours = {tuple((pixel[:3] * 255).astype(int)) for pixel in image.reshape(-1, 4)[::97]}
        assert (0x25, 0x63, 0xA8) in colours or seconds == 0  # the person's waveform
