"""What the loudspeaker played, looked up by the time at which it was heard."""

from __future__ import annotations

import numpy as np

from taste_agent.audio.ports import Samples
from taste_agent.audio.resampling import StreamResampler
from taste_agent.audio.stream_clock import StreamClock
from taste_agent.audio.streams import PlaybackSide

KEEP_S = 2
# Further apart than this the reading position jumps at once.
JUMP_S = 0.04
# Nearer than this it stays. Between losses, which the device tells, the way from the loudspeaker to the
# microphone is always the same number of samples; the times wander by ten milliseconds and more on a busy
# machine, and the canceller has to learn the way anew whenever the position follows them.
STEADY_S = 0.02
SILENT_S = 0.5


class PlayedReference:
    """Frames of the played signal for the echo canceller, each asked for by its time.

    Consecutive frames are consecutive samples. Where the asked time and the position drift apart by more
    than jitter explains, the position jumps to it in the next silence, or at once if it is far off.
    """

    def __init__(self, rate_hz: int) -> None:
        """Give frames at `rate_hz`, whatever the device's rate."""
        self.rate_hz = rate_hz
        self._side: PlaybackSide | None = None
        self.attach(None)

    def attach(self, side: PlaybackSide | None) -> None:
        """Follow another playback side, or none (then every frame is silence)."""
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
        """Take over what was played since the last call; call it often."""
        if self._side is None or self._resampler is None:
            return
        if self._side.breaks != self._breaks:
            self._breaks = self._side.breaks
            self.clock.restart(self._side.stamps)
        while self._side.stamps:
            position, heard_s = self._side.stamps.popleft()
            self.clock.observe(round(position * self.rate_hz / self._side.rate_hz), heard_s)
        played = self._side.reference
        if played.available:
            self._keep(self._resampler.feed(played.read(played.available)))

    def _keep(self, samples: Samples) -> None:
        keep = KEEP_S * self.rate_hz
        if samples.size > keep:
            self._kept_from += self._kept.size + samples.size - keep
            self._kept, samples = self._room[:0], samples[-keep:]
        if self._kept.size + samples.size > self._room.size:  # seldom, because it copies seconds
            surplus = self._kept.size - keep
            self._room[:keep] = self._kept[surplus:]
            self._kept = self._room[:keep]
            self._kept_from += surplus
        end = self._kept.size + samples.size
        self._room[self._kept.size : end] = samples
        self._kept = self._room[:end]

    def frame(self, heard_s: float, count: int) -> Samples | None:
        """`count` samples of what was heard from `heard_s` on; None where the device was not yet given them.

        Silence where nothing is followed, or where that time is too long past.
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
        """The next `count` samples are not waited for: the frames after them stay where they belong."""
        if self._position is not None:
            self._position += count

    def _next_position(self, wanted: int, count: int) -> int:
        if self._position is None:
            return wanted
        apart = abs(wanted - self._position)
        if apart > JUMP_S * self.rate_hz:
            return wanted
        if apart > STEADY_S * self.rate_hz and self._is_silent_at(self._position, count):
            return wanted
        return self._position

    def _is_silent_at(self, position: int, count: int) -> bool:
        """Whether nothing sounds there whose echo the canceller may still be learning from."""
        end = position + count - self._kept_from
        return not self._kept[max(0, end - round(SILENT_S * self.rate_hz)) : max(0, end)].any()
