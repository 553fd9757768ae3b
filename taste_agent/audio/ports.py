"""What the session needs from the outside world: blocks of samples in, blocks of samples out.

A port hides its own rate, channels and block size. Ports are devices, or silent; replay reads files itself.
"""

import time
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from taste_agent.clock import ENGINE_RATE_HZ

Samples = NDArray[np.float32]
"""Mono audio in [-1, 1] at `clock.ENGINE_RATE_HZ`."""
STEP_S = 0.05


class AudioSource(Protocol):
    """Where the person's voice comes from."""

    idle: bool
    """Set by the reader: nobody speaks and nothing is owed, so a device may gather more for each read."""

    @property
    def latency_samples(self) -> int:
        """How long ago the last sample that was read had sounded; 0 for a file."""

    def read(self) -> Samples | None:
        """Return the next samples, of any length; None at the end.

        A device blocks for at most a fraction of a second, and may return no samples.
        """

    def close(self) -> None:
        """Free the device; safe to call twice."""


class AudioSink(Protocol):
    """Where the agent's voice goes."""

    @property
    def latency_samples(self) -> int:
        """How long after `write` a sample is heard (queue and device)."""

    def write(self, samples: Samples) -> None:
        """Take the samples that follow. The session writes exactly as many as it read."""

    def cut(self, next_ms: int) -> None:
        """Silence within milliseconds what is queued and not yet heard, and the next `next_ms` written."""

    def close(self) -> None:
        """Free the device; safe to call twice."""


class SilentSource:
    """Gives silence at the pace of the wall clock, for conversations that are typed."""

    latency_samples = 0

    def __init__(
        self, now: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Start to count now."""
        self._now, self._sleep, self._given_until_s = now, sleep, now()
        self.idle = self._closed = False

    def read(self) -> Samples | None:
        """Return silence for the time since the last call, at least a step of it; None after `close`."""
        if self._closed:
            return None
        self._sleep(max(0.0, self._given_until_s + STEP_S - self._now()))
        count = round((self._now() - self._given_until_s) * ENGINE_RATE_HZ)
        self._given_until_s += count / ENGINE_RATE_HZ
        return np.zeros(count, dtype=np.float32)

    def close(self) -> None:
        """End the stream."""
        self._closed = True


class SilentSink:
    """Takes everything and plays nothing."""

    latency_samples = 0

    def write(self, samples: Samples) -> None:
        """Ignore `samples`."""

    def cut(self, next_ms: int) -> None:
        """Do nothing: nothing is queued."""

    def close(self) -> None:
        """Do nothing."""
