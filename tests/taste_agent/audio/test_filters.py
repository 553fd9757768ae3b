"""What the filter takes out and what it leaves."""

import numpy as np
import pytest

from taste_agent.audio.filters import HighPass, StreamResampler


def tone(rate_hz, seconds=1.0):
    return np.sin(2 * np.pi * 440 * np.arange(round(rate_hz * seconds)) / rate_hz).astype(np.float32)


@pytest.mark.parametrize("from_hz", [8000, 22050, 44100, 48000])
def test_tone_stays_a_tone_and_keeps_its_length(from_hz):
    resampler = StreamResampler(from_hz, 16000)
    source = tone(from_hz)
    chunks = [resampler.feed(source[i : i + 441]) for i in range(0, source.size, 441)]
    result = np.concatenate([*chunks, resampler.finish()])
    assert abs(result.size - 16000) <= 1
    middle = slice(2000, 14000)
    assert np.abs(result[middle] - tone(16000)[middle]).max() < 0.01


def test_equal_rates_pass_through():
    resampler = StreamResampler(16000, 16000)
    source = tone(16000)
    assert resampler.feed(source) is source
    assert resampler.finish().size == 0


def test_chunks_do_not_matter():
    source = tone(44100, 0.3)
    whole, parts = StreamResampler(44100, 16000), StreamResampler(44100, 16000)
    once = np.concatenate([whole.feed(source), whole.finish()])
    often = np.concatenate([*(parts.feed(part) for part in np.array_split(source, 37)), parts.finish()])
    np.testing.assert_allclose(often, once, atol=1e-6)


def test_nothing_gives_nothing():
    assert StreamResampler(48000, 16000).feed(np.zeros(0, dtype=np.float32)).size == 0


@pytest.mark.parametrize("rates", [(0, 16000), (16000, -1)])
def test_rates_must_be_positive(rates):
    with pytest.raises(ValueError, match="must be positive"):
        StreamResampler(*rates)


RATE = 16000


def filtered(samples, frame_samples=320):
    high_pass = HighPass(frame_samples)
    whole = len(samples) // frame_samples * frame_samples
    return np.concatenate([high_pass(frame) for frame in samples[:whole].reshape(-1, frame_samples)])


def sine(frequency_hz):
    return np.sin(2 * np.pi * frequency_hz * np.arange(RATE) / RATE).astype(np.float32)


@pytest.mark.parametrize(
    ("frequency_hz", "gain_db", "within_db"),
    [(25, -44, 1.0), (50, -20.5, 0.3), (60, -14.2, 0.3), (90, -3, 0.2), (200, 0, 0.1)],
)
def test_low_tones_are_taken_out_and_voices_left(frequency_hz, gain_db, within_db):
    end = filtered(sine(frequency_hz))[RATE // 2 :]
    assert 20 * np.log10(np.std(end) / np.sqrt(0.5)) == pytest.approx(gain_db, abs=within_db)


def test_an_offset_is_gone_after_a_moment():
    assert np.abs(filtered(np.full(RATE, 0.2, np.float32))[RATE // 10 :]).max() < 1e-4


@pytest.mark.parametrize("frame_samples", [160, 480])
def test_frames_of_any_length_give_the_same(frame_samples):
    sound = sine(50) + 0.3 * sine(1000)
    count = RATE // 480 * 480
    np.testing.assert_allclose(filtered(sound, frame_samples)[:count], filtered(sound)[:count], atol=1e-6)
