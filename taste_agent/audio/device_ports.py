"""The engine's ports on a sound card: a source that never stops, a sink that never blocks."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from taste_agent.audio.echo import FRAME_MS, Canceller
from taste_agent.audio.filters import StreamResampler
from taste_agent.audio.microphone import MicrophoneLevel
from taste_agent.audio.ports import Samples
from taste_agent.audio.reference import PlayedReference, StreamClock
from taste_agent.audio.sound_card import SoundCard
from taste_agent.audio.streams import CaptureSide, PlaybackSide
from taste_agent.clock import ENGINE_RATE_HZ, samples_of_ms
from taste_agent.config import DeviceSettings

# When to check for the next block: this long after it is due, then at this interval while it is late.
DUE_S, POLL_S, LONGEST_WAIT_S = 0.002, 0.005, 0.045
# A processor that has slept takes three times as long for a block as a busy one; so while nobody waits for an
# answer, two are taken at a time.
BLOCKS_WHILE_IDLE = 2
# Longer silence is not part of a word: a plosive closes for less.
NO_WORD_SAMPLES = samples_of_ms(200)
FRAME_SAMPLES, MAX_READ_SAMPLES = samples_of_ms(FRAME_MS), samples_of_ms(100)
# How long a frame waits for its loudspeaker frame, before it continues with silence.
MAX_REFERENCE_WAIT_S = 0.1
# Once stalled, silence comes in steps of this, so that keys and typed text are still served.
STALLED_STEP_S = 0.05


class DeviceSource:
    """The microphone at the engine's rate, without the agent's own echo.

    While no samples come (device lost, machine asleep) it gives silence at the wall clock's pace, so that an
    open turn ends and a typed conversation continues.
    """

    def __init__(
        self,
        card: SoundCard,
        canceller: Canceller | None,
        settings: DeviceSettings,
        lead_ms: int = 30,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Read from `card`; without a `canceller` the microphone's signal stays as it is (headphones)."""
        self._card, self._canceller, self._now, self._sleep = card, canceller, now, sleep
        self._stall_s, self._block_s = settings.stall_ms / 1000, settings.block_ms / 1000
        self._lead_s = lead_ms / 1000
        self._side: CaptureSide | None = None
        self._played = PlayedReference(ENGINE_RATE_HZ)
        self._last_s: float | None = None  # the session begins with the first read
        self._closed = self.idle = self.stalled = False
        self.stalls = 0
        self._attach(None)

    def _attach(self, side: CaptureSide | None) -> None:
        self._side = side
        self.level = MicrophoneLevel()
        self.clock = StreamClock(ENGINE_RATE_HZ)
        self._resampler = StreamResampler(side.rate_hz, ENGINE_RATE_HZ) if side else None
        self._pending = np.zeros(0, dtype=np.float32)
        # What has piled up unread is older than what the person says now.
        skipped = side.ring.skip(side.ring.available) if side else 0
        self._pending_from = round(skipped * ENGINE_RATE_HZ / side.rate_hz) if side else 0
        self._overflows = side.overflows if side else 0

    @property
    def latency_samples(self) -> int:
        """How long ago the last sample that was read was captured, at the engine's rate."""
        if self.stalled or not self.clock.ready:
            return 0
        return max(0, round((self._now() - self.clock.time_of(self._pending_from)) * ENGINE_RATE_HZ))

    @property
    def drift_ppm(self) -> float:
        """How much slower than the loudspeaker the microphone runs, in parts per million."""
        return self.clock.drift_ppm - self._played.clock.drift_ppm

    def read(self) -> Samples | None:
        """Return the next samples (T,), within a quarter of a second; None after `close`."""
        self._last_s = self._now() if self._last_s is None else self._last_s
        while not self._closed:
            samples, now_s = self._take(), self._now()
            if samples.size:
                self._last_s, self.stalled = now_s, False
                return samples
            age_s = now_s - self._last_s
            if age_s >= (STALLED_STEP_S if self.stalled else self._stall_s):
                self.stalls += not self.stalled
                self._last_s, self.stalled = now_s, True
                return np.zeros(round(age_s * ENGINE_RATE_HZ), dtype=np.float32)
            self._sleep(self._until_next_block(now_s))
        return None

    def _until_next_block(self, now_s: float) -> float:
        """Return how long to sleep: polling more often finds nothing and costs as much as all other work."""
        if self._side is None:
            return LONGEST_WAIT_S
        blocks = BLOCKS_WHILE_IDLE if self.idle else 1
        due_s = self._side.last_callback_s + blocks * self._block_s + DUE_S - now_s
        return min(max(due_s, POLL_S), LONGEST_WAIT_S)

    def _take(self) -> Samples:
        if self._card.playback is not self._played.side:
            self._played.attach(self._card.playback)
        if self._card.capture is not self._side:
            self._attach(self._card.capture)
        self._played.pull()
        side = self._side
        if side is None or self._resampler is None:
            return np.zeros(0, dtype=np.float32)
        if side.overflows != self._overflows:
            self._overflows = side.overflows
            self.clock.restart(side.stamps)
        self.clock.drain(side.stamps, side.rate_hz)
        fresh = side.ring.read(MAX_READ_SAMPLES * side.rate_hz // ENGINE_RATE_HZ)
        if fresh.size:
            fresh = self._resampler.feed(fresh)
            self.level.take(fresh)
        if self._canceller is None:
            self._pending_from += fresh.size
            return fresh
        self._pending = np.concatenate((self._pending, fresh))
        return self._cleaned(self._canceller)

    def _cleaned(self, canceller: Canceller) -> Samples:
        """Return the whole frames whose loudspeaker frame is there, cleaned."""
        cleaned: list[Samples] = []
        while self._pending.size >= FRAME_SAMPLES:
            captured_s = self.clock.time_of(self._pending_from)
            far = self._played.frame(captured_s + self._lead_s, FRAME_SAMPLES)
            if far is None:
                if self._now() - captured_s < MAX_REFERENCE_WAIT_S:
                    break
                far = np.zeros(FRAME_SAMPLES, dtype=np.float32)
                self._played.skip(FRAME_SAMPLES)
            cleaned.append(canceller.process(self._pending[:FRAME_SAMPLES], far))
            self._pending = self._pending[FRAME_SAMPLES:]
            self._pending_from += FRAME_SAMPLES
        return np.concatenate(cleaned) if cleaned else np.zeros(0, dtype=np.float32)

    def close(self) -> None:
        """End the stream; the card stays open."""
        self._closed = True


class DeviceSink:
    """The loudspeaker. What is written while it is lost is not heard.

    The queue before the device is trimmed only in silence, and refilled only in silence between words. So it
    grows by the length of a hiccup, which the next hiccup finds queued, and clock drift never cuts into or
    stretches a word.
    """

    def __init__(self, card: SoundCard, settings: DeviceSettings) -> None:
        """Write to `card`."""
        self._card, self._settings = card, settings
        self._side: PlaybackSide | None = None
        self._resampler: StreamResampler | None = None
        self._target_ms = float(settings.output_queue_ms)
        self._silent_samples = NO_WORD_SAMPLES
        self._seen_underruns = self._past_underruns = 0

    @property
    def latency_samples(self) -> int:
        """How long after `write` a sample is heard, at the engine's rate."""
        side = self._card.playback
        return 0 if side is None else round(side.latency_samples * ENGINE_RATE_HZ / side.rate_hz)

    @property
    def underruns(self) -> int:
        """How often the loudspeaker ran dry in the middle of sound."""
        return self._past_underruns + (self._side.underruns if self._side else 0)

    @property
    def queue_ms(self) -> float:
        """How much is queued on purpose; grows after underruns."""
        return self._target_ms

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
            self._target_ms = min(self._target_ms * 1.5, float(self._settings.output_queue_max_ms))
            side.prime_samples = round(self._target_ms * side.rate_hz / 1000)

    def _balanced(self, side: PlaybackSide, silence: Samples) -> Samples:
        """Shorten or lengthen silence so that the queue returns to its target.

        Any silence may be shortened; only silence that is not part of a word is lengthened.
        """
        queued_ms = side.queue.available * 1000 / side.rate_hz
        margin_ms = float(self._settings.block_ms + self._card.output_block_ms)
        if queued_ms > self._target_ms + margin_ms:
            return silence[:0]
        if self._silent_samples > NO_WORD_SAMPLES and queued_ms < self._target_ms - margin_ms:
            passing = min(silence.size, samples_of_ms(margin_ms))  # what is played until the next write
            return np.zeros(passing + samples_of_ms(self._target_ms - queued_ms), dtype=np.float32)
        return silence

    def cut(self, next_ms: int) -> None:
        """Silence within milliseconds all that is queued, and the next `next_ms` written."""
        side = self._card.playback
        if side is not None:
            side.cut(round(next_ms * side.rate_hz / 1000))

    def close(self) -> None:
        """Do nothing: the card is closed by its owner."""
