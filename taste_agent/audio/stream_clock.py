"""When a sample of a device's stream is heard or was captured, from the times its callbacks report."""

from __future__ import annotations

from collections import deque

# On a busy machine the times move by 20 ms for good, which over a minute would look like 300 ppm.
DRIFT_AFTER_S = 600


class StreamClock:
    """Maps sample positions of one stream to seconds, and back.

    Every callback gives one pair (position of its first sample, time of that sample at the converter).
    Those times jitter by whole blocks, while the true relation is a straight line that moves only by clock
    drift and after a device's own drop-out. The mean of the middle half of the last offsets follows both
    within seconds, is smooth under jitter and ignores outliers.
    """

    def __init__(self, rate_hz: int, window: int = 120) -> None:
        """Follow a stream of `rate_hz`, averaging over `window` callbacks."""
        self.rate_hz = rate_hz
        self._offsets: deque[float] = deque(maxlen=window)
        self._offset_s = 0.0
        self._first: tuple[int, float] | None = None
        self._last: tuple[int, float] | None = None

    @property
    def ready(self) -> bool:
        """Whether a pair was observed."""
        return bool(self._offsets)

    def observe(self, position: int, time_s: float) -> None:
        """Learn that sample `position` passes the converter at `time_s`."""
        self._offsets.append(time_s - position / self.rate_hz)
        ordered = sorted(self._offsets)
        quarter = len(ordered) // 4
        middle = ordered[quarter : len(ordered) - quarter]
        self._offset_s = sum(middle) / len(middle)
        self._last = (position, self.time_of(position))
        if self._first is None and len(self._offsets) == self._offsets.maxlen:
            self._first = self._last

    def restart(self, stamps: deque[tuple[int, float]]) -> None:
        """Forget the times, in `stamps` all but the last too: the device has lost samples in between."""
        while len(stamps) > 1:
            stamps.popleft()
        self._offsets.clear()
        self._first = self._last = None

    def time_of(self, position: float) -> float:
        """Seconds at which sample `position` passes the converter."""
        return self._offset_s + position / self.rate_hz

    def position_at(self, time_s: float) -> float:
        """Sample that passes the converter at `time_s`."""
        return (time_s - self._offset_s) * self.rate_hz

    @property
    def drift_ppm(self) -> float:
        """How much slower (positive) the device runs than its nominal rate, in parts per million.

        0.0 until the stream was followed for ten minutes: over less, jitter would be taken for drift.
        """
        if self._first is None or self._last is None:
            return 0.0
        if self._last[0] - self._first[0] < DRIFT_AFTER_S * self.rate_hz:
            return 0.0
        nominal_s = (self._last[0] - self._first[0]) / self.rate_hz
        return (self._last[1] - self._first[1] - nominal_s) / nominal_s * 1e6
