"""Ports for typing only: nothing is captured, nothing is played, time passes by the wall clock."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from taste_agent.audio.ports import Samples
from taste_agent.clock import ENGINE_RATE_HZ

STEP_S = 0.05


class SilentSource:
    """Silence at the pace of the wall clock."""

    latency_samples = 0

    def __init__(
        self, now: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Start to count now."""
        self._now = now
        self._sleep = sleep
        self._given_until_s = now()
        self.idle = False
        self._closed = False

    def read(self) -> Samples | None:
        """Silence for the time since the last call, at least a step of it; None after `close`."""
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
        """Forget `samples`."""

    def cut(self, next_ms: int) -> None:
        """Nothing is queued."""

    def close(self) -> None:
        """Nothing to free."""
