"""Whether a sound is periodic as voices are, to keep noise from being taken for words."""

import numpy as np
from numpy.typing import NDArray

WINDOW_SAMPLES = 640
HOP_SAMPLES = 160
LOWEST_HZ, HIGHEST_HZ = 75, 400
BAND_HZ = 1500
"""Voices have their energy below this, noise above it too."""
PERIODIC = 0.65
"""Least autocorrelation at the period, as a share of the energy; noise stays below it."""


def voiced_seconds(samples: NDArray[np.float32], rate_hz: int) -> float:
    """Return for how long `samples` (T,) are periodic with a pitch between 75 and 400 Hz."""
    if len(samples) < WINDOW_SAMPLES:
        return 0.0
    windows = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), WINDOW_SAMPLES)[
        ::HOP_SAMPLES
    ]
    # The difference takes away rumble, which is slow enough to look periodic.
    windows = np.diff(windows - windows.mean(axis=1, keepdims=True), axis=1, prepend=0.0)
    power = np.abs(np.fft.rfft(windows, 2 * WINDOW_SAMPLES)) ** 2
    power[:, round(BAND_HZ * 2 * WINDOW_SAMPLES / rate_hz) :] = 0.0
    correlation = np.fft.irfft(power)[:, :WINDOW_SAMPLES]
    overlap = 1.0 - np.arange(WINDOW_SAMPLES) / WINDOW_SAMPLES
    lags = slice(rate_hz // HIGHEST_HZ, rate_hz // LOWEST_HZ)
    strength = (correlation / overlap)[:, lags].max(axis=1) / np.maximum(correlation[:, 0], 1e-9)
    return float((strength > PERIODIC).sum() * HOP_SAMPLES / rate_hz)
