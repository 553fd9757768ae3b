"""Time, counted in input samples at the engine's rate.

Every decision and log entry carries a sample index of the input stream. So a replay is exact, and the
microphone's clock is the clock of the session.
"""

import time

ENGINE_RATE_HZ = 16000
"""Rate of all audio inside the engine. Ports convert to and from it."""


def samples_of_ms(duration_ms: float) -> int:
    """Return the number of engine samples in a duration, rounded."""
    return round(duration_ms * ENGINE_RATE_HZ / 1000)


def ms_of_samples(samples: int) -> float:
    """Return the duration of engine samples in milliseconds."""
    return samples * 1000 / ENGINE_RATE_HZ


def seconds_of_samples(samples: int) -> float:
    """Return the duration of engine samples in seconds."""
    return samples / ENGINE_RATE_HZ


class WallClockPacer:
    """Keeps a virtual clock from running ahead of the wall clock (`--realtime`)."""

    def __init__(self) -> None:
        self._started_s: float | None = None

    def wait_for(self, sample: int) -> None:
        """Sleep until `sample` is due; if it already is, return at once."""
        now_s = time.monotonic()
        if self._started_s is None:
            self._started_s = now_s - seconds_of_samples(sample)
        due_s = self._started_s + seconds_of_samples(sample)
        if due_s > now_s:
            time.sleep(due_s - now_s)
