"""The loudspeaker: the engine's sink on a sound card, and the signal that was played at a given time."""

from __future__ import annotations

from collections import deque

import numpy as np

from taste_agent.audio.filters import StreamResampler
from taste_agent.audio.ports import Samples
from taste_agent.audio.sound_card import SoundCard
from taste_agent.audio.streams import PlaybackSide
from taste_agent.clock import ENGINE_RATE_HZ, samples_of_ms
from taste_agent.config import DeviceSettings

KEEP_SAMPLES = 2 * ENGINE_RATE_HZ
# Callbacks over which a clock averages.
WINDOW_CALLBACKS = 120
# Beyond this difference the reading position jumps at once.
JUMP_S = 0.04
# Within this difference it stays. The path from loudspeaker to microphone has a constant number of samples
# unless the device reports a loss. The times wander by ten milliseconds or more on a busy machine, and the
# canceller would have to adapt again whenever the position followed them.
STEADY_S = 0.02
SILENT_S = 0.5
# Longer silence is not part of a word: a plosive closes for less.
NO_WORD_SAMPLES = samples_of_ms(200)


class StreamClock:
    """Maps sample positions of one stream, at the engine's rate, to seconds and back.

    Every callback gives a pair (position of its first sample, time of that sample at the converter). The
    times jitter by whole blocks, but the true relation is a straight line that moves only with clock drift
    and drop-outs of the device. The mean of the middle half of the recent offsets follows both within
    seconds, smooths jitter and ignores outliers.
    """

    def __init__(self) -> None:
        self._offsets: deque[float] = deque(maxlen=WINDOW_CALLBACKS)
        self._offset_s = 0.0

    @property
    def ready(self) -> bool:
        """Whether a pair was observed."""
        return bool(self._offsets)

    def observe(self, position: int, time_s: float) -> None:
        """Note that sample `position` passes the converter at `time_s`."""
        self._offsets.append(time_s - position / ENGINE_RATE_HZ)
        ordered = sorted(self._offsets)
        quarter = len(ordered) // 4
        middle = ordered[quarter : len(ordered) - quarter]
        self._offset_s = sum(middle) / len(middle)

    def drain(self, stamps: deque[tuple[int, float]], stamps_rate_hz: int) -> None:
        """Take all pairs out of `stamps`, whose positions count samples at `stamps_rate_hz`."""
        while stamps:
            position, time_s = stamps.popleft()
            self.observe(round(position * ENGINE_RATE_HZ / stamps_rate_hz), time_s)

    def restart(self, stamps: deque[tuple[int, float]]) -> None:
        """Forget all pairs but the last one in `stamps`, because the device has lost samples."""
        while len(stamps) > 1:
            stamps.popleft()
        self._offsets.clear()

    def time_of(self, position: float) -> float:
        """Return the second at which sample `position` passes the converter."""
        return self._offset_s + position / ENGINE_RATE_HZ

    def position_at(self, time_s: float) -> float:
        """Return the sample that passes the converter at `time_s`."""
        return (time_s - self._offset_s) * ENGINE_RATE_HZ


class PlayedReference:
    """Gives the echo canceller frames of the played signal by their time.

    Consecutive frames are consecutive samples. If the requested time differs from the position by more than
    jitter, the position jumps in the next silence, or at once if the difference is large.
    """

    def __init__(self) -> None:
        self.attach(None)

    def attach(self, side: PlaybackSide | None) -> None:
        """Follow another playback side; with None every frame is silence."""
        self.side = side
        self.clock = StreamClock()
        self._resampler = StreamResampler(side.rate_hz, ENGINE_RATE_HZ) if side else None
        self._room = np.zeros(2 * KEEP_SAMPLES, dtype=np.float32)
        self._kept = self._room[:0]
        self._kept_from = 0
        self._position: int | None = None
        self._breaks = side.breaks if side else 0

    def pull(self) -> None:
        """Fetch the samples played since the last call; call this often."""
        if self.side is None or self._resampler is None:
            return
        if self.side.breaks != self._breaks:
            self._breaks = self.side.breaks
            self.clock.restart(self.side.stamps)
        self.clock.drain(self.side.stamps, self.side.rate_hz)
        played = self.side.reference
        if played.available:
            self._keep(self._resampler.feed(played.read(played.available)))

    def _keep(self, samples: Samples) -> None:
        if samples.size > KEEP_SAMPLES:
            self._kept_from += self._kept.size + samples.size - KEEP_SAMPLES
            self._kept, samples = self._room[:0], samples[-KEEP_SAMPLES:]
        if self._kept.size + samples.size > self._room.size:  # rarely, because it copies seconds
            surplus = self._kept.size - KEEP_SAMPLES
            self._room[:KEEP_SAMPLES] = self._kept[surplus:]
            self._kept = self._room[:KEEP_SAMPLES]
            self._kept_from += surplus
        end = self._kept.size + samples.size
        self._room[self._kept.size : end] = samples
        self._kept = self._room[:end]

    def frame(self, heard_s: float, count: int) -> Samples | None:
        """Return `count` samples heard from `heard_s` on; None if the device has not played them yet.

        They are silence if no playback is followed, or if that time is too long ago.
        """
        if self.side is None or not self.clock.ready:
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
        """Skip the next `count` samples without waiting for them."""
        if self._position is not None:
            self._position += count

    def _next_position(self, wanted: int, count: int) -> int:
        if self._position is None:
            return wanted
        apart_s = abs(wanted - self._position) / ENGINE_RATE_HZ
        jumps = apart_s > JUMP_S or (apart_s > STEADY_S and self._is_silent_at(self._position, count))
        return wanted if jumps else self._position

    def _is_silent_at(self, position: int, count: int) -> bool:
        """Return whether the signal before the end of that frame is silent, so that no echo is lost."""
        end = position + count - self._kept_from
        return not self._kept[max(0, end - round(SILENT_S * ENGINE_RATE_HZ)) : max(0, end)].any()


class DeviceSink:
    """The loudspeaker; samples written while it is lost are dropped.

    The device's queue is shortened only in silence and lengthened only in silence between words, so that
    clock drift never cuts or stretches a word.
    """

    def __init__(self, card: SoundCard, settings: DeviceSettings) -> None:
        self._card, self._settings = card, settings
        self._side: PlaybackSide | None = None
        self._resampler: StreamResampler | None = None
        self.queue_ms = float(settings.output_queue_ms)
        """Target length of the queue; grows after underruns."""
        self._silent_samples = NO_WORD_SAMPLES
        self._seen_underruns = self._past_underruns = 0

    @property
    def latency_samples(self) -> int:
        """How long after `write` a sample is heard, at the engine's rate."""
        side = self._card.playback
        return 0 if side is None else round(side.latency_samples * ENGINE_RATE_HZ / side.rate_hz)

    @property
    def underruns(self) -> int:
        """Number of times the loudspeaker ran dry in the middle of sound."""
        return self._past_underruns + (self._side.underruns if self._side else 0)

    def write(self, samples: Samples) -> None:
        """Queue the next (T,) samples."""
        side = self._card.playback
        if side is not self._side:
            self._past_underruns = self.underruns
            self._seen_underruns = 0
            self._side = side
            self._resampler = StreamResampler(ENGINE_RATE_HZ, side.rate_hz) if side else None
        if side is None or self._resampler is None:
            return
        self._grow(side)
        self._silent_samples = 0 if samples.any() else self._silent_samples + samples.size
        if self._silent_samples:
            samples = self._balanced(side, samples)
        side.queue.write(self._resampler.feed(samples))

    def _grow(self, side: PlaybackSide) -> None:
        if side.underruns > self._seen_underruns:
            self._seen_underruns = side.underruns
            self.queue_ms = min(self.queue_ms * 1.5, float(self._settings.output_queue_max_ms))
            side.prime_samples = round(self.queue_ms * side.rate_hz / 1000)

    def _balanced(self, side: PlaybackSide, silence: Samples) -> Samples:
        """Shorten silence, or lengthen silence outside of words, to bring the queue to its target."""
        queued_ms = side.queue.available * 1000 / side.rate_hz
        margin_ms = float(self._settings.block_ms + self._card.output_block_ms)
        if queued_ms > self.queue_ms + margin_ms:
            return silence[:0]
        if self._silent_samples > NO_WORD_SAMPLES and queued_ms < self.queue_ms - margin_ms:
            passing = min(silence.size, samples_of_ms(margin_ms))  # played until the next write
            return np.zeros(passing + samples_of_ms(self.queue_ms - queued_ms), dtype=np.float32)
        return silence

    def cut(self, next_ms: int) -> None:
        """Silence within milliseconds everything queued and the next `next_ms` written."""
        side = self._card.playback
        if side is not None:
            side.cut(round(next_ms * side.rate_hz / 1000))

    def close(self) -> None:
        """Do nothing: the card is closed by its owner."""
