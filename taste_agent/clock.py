"""Time, counted in input samples at the engine's rate.

Everything that is decided or logged carries a sample index of the input stream, so that a replay is
exact and a microphone's own clock is the session's clock.
"""

import time

ENGINE_RATE_HZ = 16000
"""Rate of all audio inside the engine; ports convert to and from it."""


def samples_of_ms(duration_ms: float) -> int:
    """Number of engine samples in a duration, rounded to the nearest."""
    return round(duration_ms * ENGINE_RATE_HZ / 1000)


def ms_of_samples(samples: int) -> float:
    """Milliseconds that a number of engine samples last."""
    return samples * 1000 / ENGINE_RATE_HZ


def seconds_of_samples(samples: int) -> float:
    """Seconds that a number of engine samples last."""
    return samples / ENGINE_RATE_HZ


class WallClockPacer:
    """Holds a virtual clock back so that it never runs ahead of the wall clock (`--realtime`)."""

    def __init__(self, rate_hz: int = ENGINE_RATE_HZ) -> None:
        self._rate_hz = rate_hz
        self._started_s: float | None = None

    def wait_for(self, sample: int) -> None:
        """Sleep until `sample` is due; returns at once when it already is."""
        now_s = time.monotonic()
        if self._started_s is None:
            self._started_s = now_s - sample / self._rate_hz
        due_s = self._started_s + sample / self._rate_hz
        if due_s > now_s:
            time.sleep(due_s - now_s)
