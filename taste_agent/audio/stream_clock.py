"""When a sample of a device's stream is heard or was captured, from the times its callbacks report."""

from __future__ import annotations

from collections import deque
from statistics import median


class StreamClock:
    """Maps sample positions of one stream to seconds, and back.

    Every callback gives one pair (position of its first sample, time of that sample at the converter).
    Those times jitter by whole buffers, while the true relation is a straight line that moves only by
    clock drift and after a device's own drop-out. The median of the offsets of the last `window` callbacks
    follows both within a second or two and ignores single outliers.
    """

    def __init__(self, rate_hz: int, window: int = 101) -> None:
        self.rate_hz = rate_hz
        self._offsets: deque[float] = deque(maxlen=window)
        self._offset_s: float | None = None
        self._first: tuple[int, float] | None = None
        self._last: tuple[int, float] | None = None

    @property
    def ready(self) -> bool:
        """Whether a pair was observed."""
        return self._offset_s is not None

    def observe(self, position: int, time_s: float) -> None:
        """Learn that sample `position` passes the converter at `time_s`."""
        self._offsets.append(time_s - position / self.rate_hz)
        self._offset_s = median(self._offsets)
        smoothed = (position, self.time_of(position))
        if self._first is None and len(self._offsets) == self._offsets.maxlen:
            self._first = smoothed
        self._last = smoothed

    def time_of(self, position: float) -> float:
        """Seconds at which sample `position` passes the converter."""
        return (self._offset_s or 0.0) + position / self.rate_hz

    def position_at(self, time_s: float) -> float:
        """Sample that passes the converter at `time_s`."""
        return (time_s - (self._offset_s or 0.0)) * self.rate_hz

    @property
    def drift_ppm(self) -> float:
        """How much slower (positive) the device runs than its nominal rate, in parts per million."""
        if self._first is None or self._last is None or self._last[0] - self._first[0] < 10 * self.rate_hz:
            return 0.0
        nominal_s = (self._last[0] - self._first[0]) / self.rate_hz
        return (self._last[1] - self._first[1] - nominal_s) / nominal_s * 1e6
