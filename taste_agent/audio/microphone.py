"""The microphone: the engine's source on a sound card, and whether its level is high enough."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import numpy as np

from taste_agent.audio.devices import PortAudioBackend, find_device
from taste_agent.audio.echo import FRAME_SAMPLES, Canceller
from taste_agent.audio.filters import StreamResampler
from taste_agent.audio.loudspeaker import PlayedReference, StreamClock
from taste_agent.audio.ports import Samples
from taste_agent.audio.sound_card import START_S, SoundCard, open_stream
from taste_agent.audio.streams import CaptureSide
from taste_agent.clock import ENGINE_RATE_HZ, samples_of_ms
from taste_agent.config import DeviceSettings

# When to check for the next block: this long after it is due, then at this interval while it is late.
DUE_S, POLL_S, LONGEST_WAIT_S = 0.002, 0.005, 0.045
# Waking up for a block costs three times as much as processing it, so while idle two are taken at a time.
BLOCKS_WHILE_IDLE = 2
MAX_READ_SAMPLES = samples_of_ms(100)
# How long a frame waits for the loudspeaker's frame before it continues with silence.
MAX_REFERENCE_WAIT_S = 0.1
# After a stall, silence comes in steps of this length, so that keys and typed text are still served.
STALLED_STEP_S = 0.05
QUIET_DBFS = -45.0
"""Level below which speech is often missed or misunderstood."""
SILENT_DBFS = -100.0
_FRAME_MS = 20
_LONGEST_S = 10
_RECENT_FRAMES, _SAID_FRAMES = 100, 20  # 0.4 s of the last 2 s
_SAID_ABOVE_FLOOR_DB = 15.0
_SILENT_FRAMES = 50
_JUDGED_EVERY_FRAMES = 10


class MicrophoneLevel:
    """Follows the level of a microphone; `advice` stays until louder speech is heard.

    Sound that stands out from the recent noise floor counts as speech. A quiet room is fine; digital silence
    is not, because no working microphone gives that.
    """

    def __init__(self, rate_hz: int = ENGINE_RATE_HZ) -> None:
        self._frame_samples = rate_hz * _FRAME_MS // 1000
        self._pending = np.zeros(0, np.float32)
        self._levels: deque[float] = deque(maxlen=_LONGEST_S * 1000 // _FRAME_MS)
        self._silent_frames = self._frames = 0
        self._quiet_dbfs: float | None = None
        self.loudest_dbfs = SILENT_DBFS

    @property
    def silent(self) -> bool:
        """Whether the microphone gives digital silence."""
        return self._silent_frames >= _SILENT_FRAMES

    @property
    def advice(self) -> str:
        """The problem and what to do about it; empty if there is none."""
        if self._quiet_dbfs is not None:
            return f"very quiet ({self._quiet_dbfs:.0f} dB): come closer or raise it"
        return "no sound at all: is it muted?" if self.silent else ""

    def take(self, samples: Samples) -> None:
        """Take the next (T,) samples."""
        samples = np.concatenate((self._pending, samples))
        count = len(samples) // self._frame_samples
        self._pending = samples[count * self._frame_samples :]
        frames = samples[: count * self._frame_samples].reshape(count, self._frame_samples)
        for power in np.mean(np.square(frames, dtype=np.float64), axis=1).tolist():
            self._take_frame(power)

    def _take_frame(self, power: float) -> None:
        self._frames += 1
        if power == 0.0:
            self._silent_frames += 1
            return
        self._silent_frames = 0
        level = max(SILENT_DBFS, 10 * float(np.log10(power)))
        self.loudest_dbfs = max(self.loudest_dbfs, level)
        self._levels.append(level)
        if self._frames % _JUDGED_EVERY_FRAMES:
            return
        floor = min(self._levels)
        said = [each for each in list(self._levels)[-_RECENT_FRAMES:] if each >= floor + _SAID_ABOVE_FLOOR_DB]
        if len(said) >= _SAID_FRAMES:
            typical = float(np.median(said))
            self._quiet_dbfs = typical if typical < QUIET_DBFS else None


class DeviceSource:
    """The microphone at the engine's rate, without the agent's own echo if there is a `canceller`.

    While no samples arrive (device lost, machine asleep), it gives silence at the pace of the wall clock, so
    that an open turn ends and a typed conversation continues.
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
        self._card, self._canceller, self._now, self._sleep = card, canceller, now, sleep
        self._stall_s, self._block_s = settings.stall_ms / 1000, settings.block_ms / 1000
        self._lead_s = lead_ms / 1000
        self._side: CaptureSide | None = None
        self._played = PlayedReference()
        self._last_s: float | None = None  # the session begins with the first read
        self._closed = self.idle = self.stalled = False
        self._attach(None)

    def _attach(self, side: CaptureSide | None) -> None:
        self._side = side
        self.level = MicrophoneLevel()
        self.clock = StreamClock()
        self._resampler = StreamResampler(side.rate_hz, ENGINE_RATE_HZ) if side else None
        self._pending = np.zeros(0, dtype=np.float32)
        # Unread samples are older than what the person says now.
        skipped = side.ring.skip(side.ring.available) if side else 0
        self._pending_from = round(skipped * ENGINE_RATE_HZ / side.rate_hz) if side else 0
        self._overflows = side.overflows if side else 0

    @property
    def latency_samples(self) -> int:
        """Age of the last sample that was read, in samples at the engine's rate."""
        if self.stalled or not self.clock.ready:
            return 0
        return max(0, round((self._now() - self.clock.time_of(self._pending_from)) * ENGINE_RATE_HZ))

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
                self._last_s, self.stalled = now_s, True
                return np.zeros(round(age_s * ENGINE_RATE_HZ), dtype=np.float32)
            self._sleep(self._until_next_block(now_s))
        return None

    def _until_next_block(self, now_s: float) -> float:
        """Return how long to sleep; more frequent polling would cost as much as all other work."""
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
        """Clean and return all frames whose loudspeaker frame is available."""
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


def listen(settings: DeviceSettings, seconds: float) -> MicrophoneLevel:
    """Listen to the microphone of the settings for some seconds.

    Raises:
        AudioDeviceError: PortAudio is missing, or the microphone cannot be opened.
    """
    backend = PortAudioBackend()
    device = find_device(backend.list_devices(), settings.input, "input")
    stream, side = open_stream(backend, device, "input", settings.block_ms, CaptureSide)
    try:
        limit_s = time.monotonic() + START_S
        while side.callbacks == 0 and time.monotonic() < limit_s:
            time.sleep(0.01)
        time.sleep(seconds)
    finally:
        stream.close()
    level = MicrophoneLevel(side.rate_hz)
    level.take(side.ring.read(side.ring.available))
    return level


def verdict(level: MicrophoneLevel) -> str:
    """Return the problem of a microphone into which somebody was asked to speak; empty if there is none."""
    if level.loudest_dbfs <= SILENT_DBFS:
        return "no sound at all: is it muted, or its volume at 0?"
    if not level.advice and level.loudest_dbfs < QUIET_DBFS:
        return f"nothing louder than {level.loudest_dbfs:.0f} dB: if you spoke, come closer or raise it"
    return level.advice
