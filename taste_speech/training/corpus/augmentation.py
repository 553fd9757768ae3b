"""Rooms, microphones and noise, so that what learns from synthetic speech survives real recordings."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import signal
from scipy.fft import next_fast_len

SAMPLE_RATE_HZ = 16_000
SILENT_RMS = 1e-5
Audio = NDArray[np.float32]


@dataclass(frozen=True)
class Conditions:
    """How often and how much speech is changed. Ranges are (low, high), drawn evenly."""

    room_chance: float = 0.5
    reverberation_s: tuple[float, float] = (0.1, 0.6)
    """Time in which the room falls by 60 dB."""
    direct_db: tuple[float, float] = (0.0, 15.0)
    """Direct sound over reverberation."""
    band_chance: float = 0.5
    low_cut_hz: tuple[float, float] = (50.0, 300.0)
    high_cut_hz: tuple[float, float] = (3300.0, 7600.0)
    tilt_chance: float = 0.5
    tilt_db: tuple[float, float] = (-9.0, 9.0)
    """Gain of the highest against the lowest frequencies."""
    noise_chance: float = 0.75
    snr_db: tuple[float, float] = (5.0, 35.0)
    level_db: tuple[float, float] = (-36.0, -14.0)
    """RMS of the result against full scale."""
    clip_chance: float = 0.05
    silence_s: tuple[float, float] = (0.05, 0.4)
    """Quiet before and after the speech."""


HARD = Conditions(room_chance=1.0, noise_chance=1.0, snr_db=(5.0, 15.0), reverberation_s=(0.3, 0.7))


def augment(samples: Audio, rng: np.random.Generator, conditions: Conditions | None = None) -> Audio:
    """Return `samples` (T,) float32 at 16 kHz as another microphone in another room might take them.

    The result is longer by the quiet around the speech; everything is drawn from `rng`.
    """
    chosen = conditions or Conditions()
    before, after = (int(rng.uniform(*chosen.silence_s) * SAMPLE_RATE_HZ) for _ in range(2))
    # A few samples more make a length whose Fourier transform is fast.
    after += next_fast_len(before + len(samples) + after) - (before + len(samples) + after)
    sound = np.pad(samples.astype(np.float64), (before, after))
    if rng.random() < chosen.room_chance:
        sound = in_room(sound, rng.uniform(*chosen.reverberation_s), rng.uniform(*chosen.direct_db), rng)
    if rng.random() < chosen.tilt_chance:
        sound = _tilted(sound, rng.uniform(*chosen.tilt_db))
    if rng.random() < chosen.noise_chance:
        sound = with_noise(sound, noise(len(sound), rng), rng.uniform(*chosen.snr_db))
    if rng.random() < chosen.band_chance:
        band = (rng.uniform(*chosen.low_cut_hz), rng.uniform(*chosen.high_cut_hz))
        sound = signal.sosfilt(signal.butter(2, band, "bandpass", fs=SAMPLE_RATE_HZ, output="sos"), sound)
    rms = np.sqrt(np.mean(sound**2))
    if rms > SILENT_RMS:
        sound = sound * 10.0 ** (rng.uniform(*chosen.level_db) / 20) / rms
    if rng.random() < chosen.clip_chance:
        sound = np.clip(sound, -0.3 * np.abs(sound).max(), 0.3 * np.abs(sound).max())
    return np.clip(sound, -1.0, 1.0).astype(np.float32)


def in_room(
    samples: NDArray[np.float64], reverberation_s: float, direct_db: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return `samples` in a synthetic room: direct sound, some early echoes, noise that decays by 60 dB."""
    n = int(reverberation_s * SAMPLE_RATE_HZ)
    decay = 10.0 ** (-3.0 * np.arange(n) / n)
    late = rng.standard_normal(n) * decay * (np.arange(n) > 0.004 * SAMPLE_RATE_HZ)
    echoes = rng.integers(16, max(n // 4, 32), size=8)
    late[echoes] += rng.choice((-1.0, 1.0), size=8) * decay[echoes] * 3.0
    # High frequencies die first.
    late = signal.lfilter([1.0], [1.0, -rng.uniform(0.0, 0.5)], late)
    late *= 10.0 ** (-direct_db / 20) / max(np.sqrt(np.sum(late**2)), SILENT_RMS)
    late[0] = 1.0
    return signal.fftconvolve(samples, late)[: len(samples)]


def noise(n_samples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return (n_samples,) of noise with unit RMS: hiss to rumble, often with hum or in slow waves."""
    spectrum = np.fft.rfft(rng.standard_normal(n_samples))
    # The slope goes from white (0) over pink (1) to brown (2).
    frequency = np.maximum(np.fft.rfftfreq(n_samples, 1 / SAMPLE_RATE_HZ), 40.0)
    sound = np.fft.irfft(spectrum * frequency ** (-rng.uniform(0.0, 2.0) / 2), n_samples)
    time_s = np.arange(n_samples) / SAMPLE_RATE_HZ
    sound /= max(np.sqrt(np.mean(sound**2)), SILENT_RMS)
    if rng.random() < 0.3:
        mains_hz = rng.choice((50.0, 60.0))
        for harmonic in range(1, 8, 2):
            phase = rng.uniform(0, 2 * np.pi)
            sound += rng.uniform(0, 1 / harmonic) * np.sin(2 * np.pi * mains_hz * harmonic * time_s + phase)
    if rng.random() < 0.3:
        sound *= 1.0 + 0.8 * np.sin(2 * np.pi * rng.uniform(0.2, 4.0) * time_s + rng.uniform(0, 2 * np.pi))
    return sound / max(np.sqrt(np.mean(sound**2)), SILENT_RMS)


def with_noise(
    samples: NDArray[np.float64], noise_samples: NDArray[np.float64], snr_db: float
) -> NDArray[np.float64]:
    """Add noise of the same length at a signal-to-noise ratio counted where there is sound."""
    loud = np.abs(samples) > 0.05 * np.abs(samples).max(initial=0.0)
    if not loud.any():
        return samples + 1e-3 * noise_samples
    speech_rms = np.sqrt(np.mean(samples[loud] ** 2))
    return samples + noise_samples * speech_rms * 10.0 ** (-snr_db / 20)


def _tilted(samples: NDArray[np.float64], gain_db: float) -> NDArray[np.float64]:
    """Raise high frequencies by `gain_db` against low ones, evenly per octave from 100 Hz to 8 kHz."""
    spectrum = np.fft.rfft(samples)
    octaves = np.log2(np.clip(np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE_HZ), 100.0, 8000.0) / 100.0)
    gain = 10.0 ** (gain_db * (octaves / np.log2(80.0) - 0.5) / 20)
    return np.fft.irfft(spectrum * gain, len(samples))
