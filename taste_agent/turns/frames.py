"""Judges one frame of sound: is it speech? WebRTC's detector, guarded by level and by how the level moves."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from taste_agent.audio.ports import Samples
from taste_agent.clock import ENGINE_RATE_HZ, samples_of_ms
from taste_agent.config import VadSettings
from taste_agent.errors import AgentError

_SILENCE_DBFS = -100.0
_FLOOR_WINDOW_MS = 3000
_MODULATION_WINDOW_MS = 400


@dataclass(frozen=True, slots=True)
class FrameDecision:
    """One frame's verdict and what it was made from."""

    is_speech: bool
    level_dbfs: float
    noise_floor_dbfs: float


def level_dbfs(samples: Samples) -> float:
    """Root mean square level in dB below full scale; -100 for digital silence."""
    power = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
    return max(_SILENCE_DBFS, 10 * float(np.log10(power + 1e-12)))


class FrameClassifier:
    """Decides frame by frame, with a memory of the last seconds' levels only.

    A frame is speech when WebRTC's detector says so and its level is above `min_level_dbfs` and
    `above_noise_db` above the noise floor (the quietest frame of the last seconds), and the level has
    swung by `min_modulation_db` in the last moments, as syllables do and steady noise or tones do not.
    """

    def __init__(self, settings: VadSettings) -> None:
        try:
            import webrtcvad
        except ImportError as error:
            raise AgentError(
                f"voice detection needs the webrtcvad module ({error}); run: pip install webrtcvad-wheels"
            ) from error
        self.frame_samples = samples_of_ms(settings.frame_ms)
        self._settings = settings
        self._detector = webrtcvad.Vad(settings.aggressiveness)
        self._floor_levels: deque[float] = deque(maxlen=_FLOOR_WINDOW_MS // settings.frame_ms)
        self._recent_levels: deque[float] = deque(maxlen=_MODULATION_WINDOW_MS // settings.frame_ms)

    def judge(self, frame: Samples) -> FrameDecision:
        """The verdict on the next frame of exactly `frame_samples`."""
        level = level_dbfs(frame)
        self._recent_levels.append(level)
        self._floor_levels.append(level)
        floor = min(self._floor_levels)
        limits = self._settings
        loud = level >= limits.min_level_dbfs and level >= floor + limits.above_noise_db
        moving = max(self._recent_levels) - min(self._recent_levels) >= limits.min_modulation_db
        # The detector adapts to what it hears, so it gets every frame.
        pcm = (np.clip(frame, -1.0, 1.0) * 32767).astype("<i2").tobytes()
        voiced = self._detector.is_speech(pcm, ENGINE_RATE_HZ)
        return FrameDecision(bool(voiced and loud and moving), level, floor)
