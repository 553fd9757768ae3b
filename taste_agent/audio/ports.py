"""The session's ports to the outside world: samples in, samples out, at the engine's rate.

Ports are devices, or silent; replay reads files itself.
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
    """Source of the person's voice."""

    idle: bool
    """Set by the reader while nobody speaks and no answer is due; reads may then be longer."""

    @property
    def latency_samples(self) -> int:
        """Age of the last sample that was read."""

    def read(self) -> Samples | None:
        """Return the next samples, of any length, within a fraction of a second; None at the end."""

    def close(self) -> None:
        """Free the device; safe to call twice."""


class AudioSink(Protocol):
    """Sink for the agent's voice."""

    @property
    def latency_samples(self) -> int:
        """Time from `write` until a sample is heard (queue and device)."""

    def write(self, samples: Samples) -> None:
        """Take the next samples; the session writes exactly as many as it read."""

    def cut(self, next_ms: int) -> None:
        """Silence within milliseconds everything queued and the next `next_ms` written."""

    def close(self) -> None:
        """Free the device; safe to call twice."""


class SilentSource:
    """Gives silence at the pace of the wall clock, for typed conversations."""

    latency_samples = 0

    def __init__(
        self, now: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._now, self._sleep, self._given_until_s = now, sleep, now()
        self.idle = self._closed = False

    def read(self) -> Samples | None:
        """Return silence for the time since the last call, at least one step; None after `close`."""
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
    """Discards all samples."""

    latency_samples = 0

    def write(self, samples: Samples) -> None:
        """Ignore `samples`."""

    def cut(self, next_ms: int) -> None:
        """Do nothing: nothing is queued."""

    def close(self) -> None:
        """Do nothing."""
