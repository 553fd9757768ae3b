"""Takes an offset and the hum of the mains out of a stream: they carry no speech and hide how loud it is."""

import math

import numpy as np

from taste_agent.audio.ports import Samples
from taste_agent.clock import ENGINE_RATE_HZ

CUTOFF_HZ = 90.0
"""Down 3 dB here, 14 dB at 60 Hz and 20 dB at 50 Hz; few voices go lower, and those have overtones."""
_QUALITIES = (0.541196, 1.306563)
"""Of the two second-order sections that make a Butterworth filter of order 4."""


class HighPass:
    """A recursive filter of order 4 over frames of one length.

    A frame is one matrix product: what the filter does to a frame is linear in the frame and in what the
    filter remembers of those before.
    """

    def __init__(self, frame_samples: int) -> None:
        above, below = np.ones(1), np.ones(1)
        for quality in _QUALITIES:
            numerator, denominator = _section(quality)
            above, below = np.convolve(above, numerator), np.convolve(below, denominator)
        order = len(below) - 1
        companion = np.eye(order, k=1)
        companion[:, 0] = -below[1:]
        enters = above[1:] - below[1:] * above[0]
        powers = [np.eye(order)]
        for _ in range(frame_samples):
            powers.append(companion @ powers[-1])
        self._from_memory = np.stack([power[0] for power in powers[:-1]])  # (N, order)
        response = np.concatenate([above[:1], self._from_memory[:-1] @ enters])  # (N,)
        lags = np.subtract.outer(np.arange(frame_samples), np.arange(frame_samples))
        self._from_frame = np.where(lags >= 0, response[np.abs(lags)], 0.0)  # (N, N)
        self._memory_kept = powers[-1]
        self._memory_added = np.stack([power @ enters for power in powers[-2::-1]], axis=1)  # (order, N)
        self._memory = np.zeros(order)

    def __call__(self, frame: Samples) -> Samples:
        """The next frame, (N,), filtered."""
        filtered = self._from_frame @ frame + self._from_memory @ self._memory
        self._memory = self._memory_kept @ self._memory + self._memory_added @ frame
        return filtered.astype(np.float32)


def _section(quality: float) -> tuple[np.ndarray, np.ndarray]:
    """Numerator and denominator, (3,) each, of a second-order high-pass section."""
    angle = 2 * math.pi * CUTOFF_HZ / ENGINE_RATE_HZ
    alpha = math.sin(angle) / (2 * quality)
    cosine = math.cos(angle)
    numerator = np.array([1 + cosine, -2 * (1 + cosine), 1 + cosine]) / 2
    return numerator / (1 + alpha), np.array([1 + alpha, -2 * cosine, 1 - alpha]) / (1 + alpha)
