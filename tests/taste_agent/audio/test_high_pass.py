"""What the filter takes out and what it leaves."""

import numpy as np
import pytest

from taste_agent.audio.high_pass import HighPass

RATE = 16000


def filtered(samples, frame_samples=320):
    high_pass = HighPass(frame_samples)
    whole = len(samples) // frame_samples * frame_samples
    return np.concatenate([high_pass(frame) for frame in samples[:whole].reshape(-1, frame_samples)])


def tone(frequency_hz):
    return np.sin(2 * np.pi * frequency_hz * np.arange(RATE) / RATE).astype(np.float32)


@pytest.mark.parametrize(
    ("frequency_hz", "gain_db", "within_db"),
    [(25, -44, 1.0), (50, -20.5, 0.3), (60, -14.2, 0.3), (90, -3, 0.2), (200, 0, 0.1)],
)
def test_low_tones_are_taken_out_and_voices_left(frequency_hz, gain_db, within_db):
    end = filtered(tone(frequency_hz))[RATE // 2 :]
    assert 20 * np.log10(np.std(end) / np.sqrt(0.5)) == pytest.approx(gain_db, abs=within_db)


def test_an_offset_is_gone_after_a_moment():
    assert np.abs(filtered(np.full(RATE, 0.2, np.float32))[RATE // 10 :]).max() < 1e-4


@pytest.mark.parametrize("frame_samples", [160, 480])
def test_frames_of_any_length_give_the_same(frame_samples):
    sound = tone(50) + 0.3 * tone(1000)
    count = RATE // 480 * 480
    np.testing.assert_allclose(filtered(sound, frame_samples)[:count], filtered(sound)[:count], atol=1e-6)
