"""Resampling of a stream in pieces, without seams and with exact lengths."""

import math
from dataclasses import dataclass, field

import numpy as np
import soxr
from numpy.typing import NDArray

Samples = NDArray[np.float32]
_MIN_HISTORY_S = 0.02
"""More than half the length of the filter at speech rates."""


def _nothing() -> Samples:
    return np.zeros(0, np.float32)


@dataclass
class ResamplerState:
    """Position of a stream: samples in and out, and the last samples that went in."""

    n_in: int = 0
    n_out: int = 0
    history: Samples = field(default_factory=_nothing)

    def clone(self) -> "ResamplerState":
        """A state that goes on by itself (its arrays are never changed in place)."""
        return ResamplerState(self.n_in, self.n_out, self.history)


class ChunkResampler:
    """Turns pieces at one rate into pieces at another.

    After n samples in, exactly floor(n * out / in) have come out, however they were cut: rounding never
    adds up. Each piece is filtered together with samples before and after it.
    """

    def __init__(self, in_rate_hz: int, out_rate_hz: int) -> None:
        self.in_rate_hz, self.out_rate_hz = in_rate_hz, out_rate_hz
        # Windows start where a sample in and a sample out fall together.
        self._grid = in_rate_hz // math.gcd(in_rate_hz, out_rate_hz)
        self._min_history = math.ceil(_MIN_HISTORY_S * in_rate_hz)

    def position(self, n_in: int) -> int:
        """Samples that have come out after `n_in`."""
        return n_in * self.out_rate_hz // self.in_rate_hz

    def push(self, samples: Samples, following: Samples, state: ResamplerState) -> Samples:
        """The next piece.

        Args:
            samples: (n,) that follow those of the calls before.
            following: (k,) what probably comes next, for the filter; empty at the end.
            state: advanced.

        Returns:
            the samples that are due now.
        """
        window_start = state.n_in - len(state.history)
        window = np.concatenate([state.history, samples])
        state.n_in += len(samples)
        end = self.position(state.n_in)
        if self.in_rate_hz == self.out_rate_hz:
            out = samples
        elif end == state.n_out:
            out = _nothing()
        else:
            offset = self.position(window_start)
            filtered = soxr.resample(np.concatenate([window, following]), self.in_rate_hz, self.out_rate_hz)
            out = _cut(filtered, state.n_out - offset, end - offset)
        state.n_out = end
        kept_from = max(window_start, state.n_in - self._min_history) // self._grid * self._grid
        state.history = window[max(0, kept_from - window_start) :]
        return out.astype(np.float32, copy=False)


def _cut(samples: Samples, start: int, end: int) -> Samples:
    """samples[start:end]; what the filter leaves out at the very end (less than a sample) is zero."""
    part = samples[start:end]
    return np.pad(part, (0, end - start - len(part)))
