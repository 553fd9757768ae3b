"""Whether a microphone is loud enough."""

from __future__ import annotations

import time
from collections import deque

import numpy as np

from taste_agent.audio.devices import find_device
from taste_agent.audio.portaudio import PortAudioBackend
from taste_agent.audio.ports import Samples
from taste_agent.audio.sound_card import START_S, open_stream
from taste_agent.audio.streams import CaptureSide
from taste_agent.clock import ENGINE_RATE_HZ
from taste_agent.config import DeviceSettings

QUIET_DBFS = -45.0
"""Speech below this is often missed or misheard."""
SILENT_DBFS = -100.0
_FRAME_MS = 20
_LONGEST_S = 10
_RECENT_FRAMES, _SAID_FRAMES = 100, 20  # 0.4 s of the last 2 s
_SAID_ABOVE_FLOOR_DB = 15.0
_SILENT_FRAMES = 50
_JUDGED_EVERY_FRAMES = 10


class MicrophoneLevel:
    """Follows the level of a microphone; `advice` stays until better speech was heard.

    Somebody speaks where the last moments stand out from the noise floor of the last seconds. A quiet room
    is fine; digital silence is not, because no real microphone gives that.
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
        """Whether it gives digital silence."""
        return self._silent_frames >= _SILENT_FRAMES

    @property
    def advice(self) -> str:
        """What is wrong and what to do about it; empty if nothing seems wrong."""
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


def listen(settings: DeviceSettings, seconds: float) -> MicrophoneLevel:
    """Listen to the microphone of the settings for a time.

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
    """Return what is wrong with a microphone after somebody was asked to speak into it; empty if nothing."""
    if level.loudest_dbfs <= SILENT_DBFS:
        return "no sound at all: is it muted, or its volume at 0?"
    if not level.advice and level.loudest_dbfs < QUIET_DBFS:
        return f"nothing louder than {level.loudest_dbfs:.0f} dB: if you spoke, come closer or raise it"
    return level.advice
