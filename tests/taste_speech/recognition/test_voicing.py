import numpy as np
import pytest

from taste_speech.recognition.voicing import MIN_VOICED_S, pitch_hz, voiced_seconds

RATE_HZ = 16_000
SECOND = np.arange(RATE_HZ) / RATE_HZ


def noise(steepness: float, seed: int, seconds: int = 3) -> np.ndarray:
    """Of RMS 1, with amplitudes that fall as frequency to the power of -`steepness`."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(seconds * RATE_HZ))
    sound = np.fft.irfft(spectrum / np.maximum(np.arange(len(spectrum)), 20 * seconds) ** steepness)
    return (sound / sound.std()).astype(np.float32)


def voice(pitch_hz: float) -> np.ndarray:
    """A second of RMS 1, with overtones that fall by 9 dB an octave."""
    overtones = np.arange(1, int(4000 / pitch_hz))[:, None]
    sound = (np.sin(2 * np.pi * pitch_hz * overtones * SECOND) * overtones**-1.5).sum(0)
    return (sound / sound.std()).astype(np.float32)


@pytest.mark.parametrize(("pitch_hz", "snr_db"), [(90, 10), (130, 10), (210, 5), (300, 0)])
def test_a_voice_is_heard_in_noise(pitch_hz: float, snr_db: float) -> None:
    mixed = voice(pitch_hz) + 10 ** (-snr_db / 20) * noise(0, 1)[:RATE_HZ]
    assert voiced_seconds(mixed, RATE_HZ) > 0.2


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("steepness", [0, 0.5, 1, 1.5])
def test_noise_is_no_voice(steepness: float, seed: int) -> None:
    assert voiced_seconds(noise(steepness, seed), RATE_HZ) < MIN_VOICED_S


def test_voice_is_told_from_noise():
    rng = np.random.default_rng(0)
    pulses = np.zeros(16_000, np.float32)
    pulses[::133] = 1.0
    assert voiced_seconds(pulses, 16_000) > 0.9
    assert voiced_seconds(rng.standard_normal(16_000).astype(np.float32), 16_000) == 0
    assert voiced_seconds(np.zeros(100, np.float32), 16_000) == 0


@pytest.mark.parametrize("hz", [80, 110, 160, 220, 300, 390])
def test_the_pitch_is_that_of_the_lowest_harmonic(hz):
    tone = sum(np.sin(2 * np.pi * hz * k * SECOND) / k for k in range(1, 8)).astype(np.float32)
    assert np.median(pitch_hz(tone, RATE_HZ)) == pytest.approx(hz, rel=0.02)
    assert voiced_seconds(tone, RATE_HZ) == pytest.approx(0.96, abs=0.02)


def test_noise_has_no_pitch():
    noise = np.random.default_rng(0).standard_normal(RATE_HZ).astype(np.float32)
    assert np.count_nonzero(pitch_hz(noise, RATE_HZ)) <= 2
