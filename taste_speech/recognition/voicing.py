"""The pitch of a voice, and whether a sound is a voice at all."""

import numpy as np
from numpy.typing import NDArray

WINDOW_SAMPLES = 640
HOP_SAMPLES = 160
LOWEST_HZ, HIGHEST_HZ = 75, 400
MIN_VOICED_S = 0.03
"""Audio that is periodic for less time is treated as noise, in which recognizers hear short words."""
BAND_HZ = 1500
"""Voices have most of their energy below this frequency, noise also above it."""
PER_OCTAVE = 0.05
PERIODIC = 0.65
"""Minimum autocorrelation at the period as a share of the energy; noise stays below it."""


def voiced_seconds(samples: NDArray[np.float32], rate_hz: int) -> float:
    """Return for how many seconds `samples` (T,) are periodic with a pitch between 75 and 400 Hz."""
    return float((pitch_hz(samples, rate_hz) > 0).sum() * HOP_SAMPLES / rate_hz)


def pitch_hz(samples: NDArray[np.float32], rate_hz: int) -> NDArray[np.float64]:
    """Return the fundamental frequency (windows,) of `samples` (T,) in Hz, 0 where they are not periodic."""
    if len(samples) < WINDOW_SAMPLES:
        return np.zeros(0)
    windows = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), WINDOW_SAMPLES)[
        ::HOP_SAMPLES
    ]
    # The difference removes rumble, which is slow enough to look periodic.
    windows = np.diff(windows - windows.mean(axis=1, keepdims=True), axis=1, prepend=0.0)
    power = np.abs(np.fft.rfft(windows, 2 * WINDOW_SAMPLES)) ** 2
    power[:, round(BAND_HZ * 2 * WINDOW_SAMPLES / rate_hz) :] = 0.0
    correlation = np.fft.irfft(power)[:, :WINDOW_SAMPLES]
    overlap = 1.0 - np.arange(WINDOW_SAMPLES) / WINDOW_SAMPLES
    lags = np.arange(rate_hz // HIGHEST_HZ, rate_hz // LOWEST_HZ)
    similarity = (correlation / overlap)[:, lags]
    periodic = similarity.max(axis=1) / np.maximum(correlation[:, 0], 1e-9) > PERIODIC
    # The signal is as similar to itself after two periods as after one.
    best = (similarity * (1 - PER_OCTAVE * np.log2(lags / lags[0]))).argmax(axis=1)
    return np.where(periodic, rate_hz / lags[best], 0.0)
