"""What the loudspeaker played, found by the time at which it was heard."""

from __future__ import annotations

from collections import deque

import numpy as np

from taste_agent.audio.filters import StreamResampler
from taste_agent.audio.ports import Samples
from taste_agent.audio.streams import PlaybackSide

# On a busy machine the times move by 20 ms for good, which over a minute would look like 300 ppm.
DRIFT_AFTER_S = 600
KEEP_S = 2
# Beyond this distance the reading position jumps at once.
JUMP_S = 0.04
# Within this distance it stays. Between losses, which the device reports, the path from the loudspeaker to
# the microphone always has the same number of samples; the times wander by ten milliseconds and more on a
# busy machine, and the canceller has to adapt again whenever the position follows them.
STEADY_S = 0.02
SILENT_S = 0.5


class StreamClock:
    """Maps sample positions of one stream to seconds, and back.

    Every callback gives a pair (position of its first sample, time of that sample at the converter). Those
    times jitter by whole blocks, while the true relation is a straight line that moves only by clock drift
    and after a device's own drop-out. The mean of the middle half of the last offsets follows both within
    seconds, is smooth under jitter and ignores outliers.
    """

    def __init__(self, rate_hz: int, window: int = 120) -> None:
        """Follow a stream in samples of `rate_hz`, averaging over `window` callbacks."""
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
        """Take a pair: sample `position` passes the converter at `time_s`."""
        self._offsets.append(time_s - position / self.rate_hz)
        ordered = sorted(self._offsets)
        quarter = len(ordered) // 4
        middle = ordered[quarter : len(ordered) - quarter]
        self._offset_s = sum(middle) / len(middle)
        self._last = (position, self.time_of(position))
        if self._first is None and len(self._offsets) == self._offsets.maxlen:
            self._first = self._last

    def drain(self, stamps: deque[tuple[int, float]], stamps_rate_hz: int) -> None:
        """Take all pairs, whose positions are in samples of `stamps_rate_hz`, out of `stamps`."""
        while stamps:
            position, time_s = stamps.popleft()
            self.observe(round(position * self.rate_hz / stamps_rate_hz), time_s)

    def restart(self, stamps: deque[tuple[int, float]]) -> None:
        """Forget all pairs, in `stamps` all but the last: the device has lost samples in between."""
        while len(stamps) > 1:
            stamps.popleft()
        self._offsets.clear()
        self._first = self._last = None

    def time_of(self, position: float) -> float:
        """Return the second at which sample `position` passes the converter."""
        return self._offset_s + position / self.rate_hz

    def position_at(self, time_s: float) -> float:
        """Return the sample that passes the converter at `time_s`."""
        return (time_s - self._offset_s) * self.rate_hz

    @property
    def drift_ppm(self) -> float:
        """How much slower (positive) the device runs than its nominal rate, in parts per million.

        0.0 until the stream was followed for ten minutes: in less time, jitter would be mistaken for drift.
        """
        if self._first is None or self._last is None:
            return 0.0
        nominal_s = (self._last[0] - self._first[0]) / self.rate_hz
        if nominal_s < DRIFT_AFTER_S:
            return 0.0
        return (self._last[1] - self._first[1] - nominal_s) / nominal_s * 1e6


class PlayedReference:
    """Frames of the played signal for the echo canceller, each requested by its time.

    Consecutive frames are consecutive samples. If the requested time and the position drift apart by more
    than jitter explains, the position jumps in the next silence, or at once if it is far off.
    """

    def __init__(self, rate_hz: int) -> None:
        """Return frames at `rate_hz`, whatever the device's rate."""
        self.rate_hz = rate_hz
        self._side: PlaybackSide | None = None
        self.attach(None)

    def attach(self, side: PlaybackSide | None) -> None:
        """Follow another playback side, or none: then every frame is silence."""
        self._side = side
        self.clock = StreamClock(self.rate_hz)
        self._resampler = StreamResampler(side.rate_hz, self.rate_hz) if side else None
        self._room = np.zeros(2 * KEEP_S * self.rate_hz, dtype=np.float32)
        self._kept = self._room[:0]
        self._kept_from = 0
        self._position: int | None = None
        self._breaks = side.breaks if side else 0

    @property
    def side(self) -> PlaybackSide | None:
        """The playback side that is followed."""
        return self._side

    def pull(self) -> None:
        """Fetch what was played since the last call; call it often."""
        if self._side is None or self._resampler is None:
            return
        if self._side.breaks != self._breaks:
            self._breaks = self._side.breaks
            self.clock.restart(self._side.stamps)
        self.clock.drain(self._side.stamps, self._side.rate_hz)
        played = self._side.reference
        if played.available:
            self._keep(self._resampler.feed(played.read(played.available)))

    def _keep(self, samples: Samples) -> None:
        keep = KEEP_S * self.rate_hz
        if samples.size > keep:
            self._kept_from += self._kept.size + samples.size - keep
            self._kept, samples = self._room[:0], samples[-keep:]
        if self._kept.size + samples.size > self._room.size:  # rarely, because it copies seconds
            surplus = self._kept.size - keep
            self._room[:keep] = self._kept[surplus:]
            self._kept = self._room[:keep]
            self._kept_from += surplus
        end = self._kept.size + samples.size
        self._room[self._kept.size : end] = samples
        self._kept = self._room[:end]

    def frame(self, heard_s: float, count: int) -> Samples | None:
        """Return `count` samples heard from `heard_s` on; None if the device does not have them yet.

        They are silence if nothing is followed, or if that time is too long ago.
        """
        if self._side is None or not self.clock.ready:
            return np.zeros(count, dtype=np.float32)
        position = self._next_position(round(self.clock.position_at(heard_s)), count)
        if position + count > self._kept_from + self._kept.size:
            return None
        self._position = position + count
        start = position - self._kept_from
        if start >= 0:
            return self._kept[start : start + count].copy()
        missing = min(count, -start)
        return np.concatenate((np.zeros(missing, dtype=np.float32), self._kept[: count - missing]))

    def skip(self, count: int) -> None:
        """Skip the next `count` samples without waiting for them; later frames stay where they belong."""
        if self._position is not None:
            self._position += count

    def _next_position(self, wanted: int, count: int) -> int:
        if self._position is None:
            return wanted
        apart_s = abs(wanted - self._position) / self.rate_hz
        jumps = apart_s > JUMP_S or (apart_s > STEADY_S and self._is_silent_at(self._position, count))
        return wanted if jumps else self._position

    def _is_silent_at(self, position: int, count: int) -> bool:
        """Return whether nothing sounds there whose echo the canceller may still be adapting to."""
        end = position + count - self._kept_from
        return not self._kept[max(0, end - round(SILENT_S * self.rate_hz)) : max(0, end)].any()
