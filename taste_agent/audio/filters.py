"""Filters over a stream, chunk by chunk: sample-rate conversion, high-pass."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import soxr

from taste_agent.audio.ports import Samples
from taste_agent.clock import ENGINE_RATE_HZ

if TYPE_CHECKING:  # a chat reads no files
    from taste_speech.sound_file import SoundFile

CUTOFF_HZ = 90.0
"""Attenuated by 3 dB here, 14 dB at 60 Hz and 20 dB at 50 Hz; lower voices still have overtones."""
_QUALITIES = (0.541196, 1.306563)
"""Quality factors of the two second-order sections of a Butterworth filter of order 4."""


class StreamResampler:
    """Converts mono samples between two fixed rates; equal rates pass through unchanged.

    The filter looks ahead, so the output lags by a few milliseconds, and `feed` may return fewer samples than
    expected, even none; `finish` returns the rest.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        if from_hz <= 0 or to_hz <= 0:
            raise ValueError(f"sampling rates are {from_hz} and {to_hz} Hz; both must be positive")
        self.from_hz, self.to_hz = from_hz, to_hz
        self._stream: soxr.ResampleStream | None = None

    def feed(self, samples: Samples) -> Samples:
        """Convert the next (T,) samples and return those that are ready, (T',)."""
        if self.from_hz == self.to_hz:
            return samples
        if self._stream is None:
            # Medium quality: 16 bits of precision, and half the look-ahead of the default.
            self._stream = soxr.ResampleStream(self.from_hz, self.to_hz, 1, dtype="float32", quality="MQ")
        return np.asarray(self._stream.resample_chunk(samples), dtype=np.float32).reshape(-1)

    def finish(self) -> Samples:
        """Return the samples left in the filter, and start over."""
        stream, self._stream = self._stream, None
        if stream is None:
            return np.zeros(0, dtype=np.float32)
        rest = stream.resample_chunk(np.zeros(0, dtype=np.float32), last=True)
        return np.asarray(rest, dtype=np.float32).reshape(-1)


def engine_blocks(sound: SoundFile, block_samples: int | None = None) -> Iterator[tuple[Samples, float]]:
    """Yield the samples of a file at the engine's rate, each block with the seconds read so far.

    Raises:
        AudioError: the file has changed since it was opened.
    """
    resampler, read = StreamResampler(sound.rate_hz, ENGINE_RATE_HZ), 0
    try:
        for block in sound.blocks(block_samples):
            read += len(block)
            yield resampler.feed(block), read / sound.rate_hz
        yield resampler.finish(), sound.duration_s
    finally:
        resampler.finish()  # soxr complains about a filter left over at the end of the program


class HighPass:
    """Removes offset and mains hum with a recursive filter of order 4 over frames of equal length.

    The result is linear in the frame and in the filter's state, so each frame takes one matrix product.
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
        self._from_state = np.stack([power[0] for power in powers[:-1]])  # (N, order)
        response = np.concatenate([above[:1], self._from_state[:-1] @ enters])  # (N,)
        lags = np.subtract.outer(np.arange(frame_samples), np.arange(frame_samples))
        self._from_frame = np.where(lags >= 0, response[np.abs(lags)], 0.0)  # (N, N)
        self._state_kept = powers[-1]
        self._state_added = np.stack([power @ enters for power in powers[-2::-1]], axis=1)  # (order, N)
        self._state = np.zeros(order)

    def __call__(self, frame: Samples) -> Samples:
        """Filter the next frame, (N,)."""
        filtered = self._from_frame @ frame + self._from_state @ self._state
        self._state = self._state_kept @ self._state + self._state_added @ frame
        return filtered.astype(np.float32)


def _section(quality: float) -> tuple[np.ndarray, np.ndarray]:
    """Return numerator and denominator, (3,) each, of a second-order high-pass section."""
    angle = 2 * math.pi * CUTOFF_HZ / ENGINE_RATE_HZ
    alpha, cosine = math.sin(angle) / (2 * quality), math.cos(angle)
    numerator = np.array([1 + cosine, -2 * (1 + cosine), 1 + cosine]) / 2
    return numerator / (1 + alpha), np.array([1 + alpha, -2 * cosine, 1 - alpha]) / (1 + alpha)
