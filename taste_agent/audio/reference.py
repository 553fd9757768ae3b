"""What the loudspeaker played, looked up by the time at which it was heard."""

from __future__ import annotations

import numpy as np

from taste_agent.audio.resampling import StreamResampler
from taste_agent.audio.ring import Samples
from taste_agent.audio.stream_clock import StreamClock
from taste_agent.audio.streams import PlaybackSide

KEEP_S = 2
# Further apart than this the reading position jumps; nearer it slips by single samples, so that drift
# between the two converters never makes an audible or adaptive jump.
JUMP_S = 0.02


class PlayedReference:
    """Frames of the played signal for the echo canceller, each asked for by its time.

    Consecutive frames are consecutive samples; only where the asked time and the position drift apart does
    the position follow, one sample per frame.
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
        self._kept = np.zeros(0, dtype=np.float32)
        self._kept_from = 0
        self._position: int | None = None

    @property
    def side(self) -> PlaybackSide | None:
        """The playback side that is followed."""
        return self._side

    def pull(self) -> None:
        """Take over what was played since the last call; call it often."""
        if self._side is None or self._resampler is None:
            return
        while self._side.stamps:
            position, heard_s = self._side.stamps.popleft()
            self.clock.observe(round(position * self.rate_hz / self._side.rate_hz), heard_s)
        played = self._side.reference
        if played.available:
            self._kept = np.concatenate((self._kept, self._resampler.feed(played.read(played.available))))
        surplus = self._kept.size - KEEP_S * self.rate_hz
        if surplus > 0:
            self._kept = self._kept[surplus:]
            self._kept_from += surplus

    def frame(self, heard_s: float, count: int) -> Samples | None:
        """`count` samples of what was heard from `heard_s` on; None where the device was not yet given them.

        Silence where nothing is followed, or where that time is too long past.
        """
        if self._side is None or not self.clock.ready:
            return np.zeros(count, dtype=np.float32)
        position = self._next_position(round(self.clock.position_at(heard_s)))
        if position + count > self._kept_from + self._kept.size:
            return None
        self._position = position + count
        start = position - self._kept_from
        if start >= 0:
            return self._kept[start : start + count]
        missing = min(count, -start)
        return np.concatenate((np.zeros(missing, dtype=np.float32), self._kept[: count - missing]))

    def _next_position(self, wanted: int) -> int:
        if self._position is None or abs(wanted - self._position) > JUMP_S * self.rate_hz:
            return wanted
        return self._position + (wanted > self._position) - (wanted < self._position)
