"""Sample-rate conversion of a stream, chunk by chunk."""

from __future__ import annotations

import numpy as np
import soxr

from taste_agent.audio.ports import Samples


class StreamResampler:
    """Converts mono samples between two fixed rates; equal rates pass through untouched.

    The filter looks ahead, so the output comes a few milliseconds later than the input and `feed` may
    return fewer samples than the ratio says (also none). Nothing is lost: `finish` returns the rest.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        """Prepare for `from_hz` to `to_hz`, both positive (`ValueError` otherwise)."""
        if from_hz <= 0 or to_hz <= 0:
            raise ValueError(f"sampling rates are {from_hz} and {to_hz} Hz; both must be positive")
        self.from_hz = from_hz
        self.to_hz = to_hz
        self._stream: soxr.ResampleStream | None = None

    def feed(self, samples: Samples) -> Samples:
        """Convert the next (T,) samples; returns what is ready, (T',)."""
        if self.from_hz == self.to_hz:
            return samples
        if self._stream is None:
            # Medium quality: 16 bits of precision, and half the look-ahead of the default.
            self._stream = soxr.ResampleStream(self.from_hz, self.to_hz, 1, dtype="float32", quality="MQ")
        return np.asarray(self._stream.resample_chunk(samples), dtype=np.float32).reshape(-1)

    def finish(self) -> Samples:
        """Return what the filter still holds and start afresh."""
        stream, self._stream = self._stream, None
        if stream is None:
            return np.zeros(0, dtype=np.float32)
        rest = stream.resample_chunk(np.zeros(0, dtype=np.float32), last=True)
        return np.asarray(rest, dtype=np.float32).reshape(-1)
