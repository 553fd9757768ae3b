"""Voice activity detection: WebRTC's detector, checks for noise and music, and hysteresis."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from taste_agent.audio.ports import Samples
from taste_agent.clock import ENGINE_RATE_HZ, samples_of_ms
from taste_agent.config import VadSettings
from taste_agent.errors import AgentError

_SILENCE_DBFS = -100.0
_FLOOR_WINDOW_MS = 3000
_GAP_PEAK = 2.0**-16  # half a step of 16 bits
_FADING_MS, _SPEECH_RANGE_DB = 500, 35.0
"""How long speech may stay below `min_level_dbfs`, and how far below its loudest frame. Without that, the
ends of soft speech are silence: at -34 dBFS it would end .16 s sooner than at -16 dBFS, at -27 dBFS .05 s."""
_WINDOW_SAMPLES = 1024
_FIRST_BIN, _LAST_BIN = 6, 200  # 94 Hz to 3.1 kHz
_SMOOTHING_BINS = 9
_STEADY_LAG_MS = 80
_STEADY_WINDOW_MS, _STEADY_MIN_MS = 1500, 800
_VOICED_WINDOW_MS, _VOICED_MIN_MS = 800, 500
_PITCH_LAGS = slice(40, 230)  # 70 to 400 Hz
_VOICED_CORRELATION = 0.6
_SPURIOUS_FRAMES = 1
"""Speech frames in a row that do not yet continue speech."""


@dataclass(frozen=True, slots=True)
class FrameDecision:
    """The decision on one frame and the measurements behind it."""

    is_speech: bool
    level_dbfs: float = _SILENCE_DBFS
    steadiness: float | None = None
    """Similarity of the harmonics to those 80 ms ago: tones near 1, speech near 0.3; None if not loud."""
    voiced: bool = False


def level_dbfs(samples: Samples) -> float:
    """Return the root mean square level in dB relative to full scale; -100 for digital silence."""
    power = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
    return max(_SILENCE_DBFS, 10 * float(np.log10(power + 1e-12)))


def is_gap(frame: Samples) -> bool:
    """Return whether at least half of a frame is digital silence: muted, gated or lost audio."""
    return bool(2 * np.count_nonzero(np.abs(frame) > _GAP_PEAK) <= len(frame))


class FrameClassifier:
    """Decides for each frame whether it is speech, from the last seconds of sound.

    A frame is speech if WebRTC's detector says so, its level is above `min_level_dbfs` (or it fades from such
    a level) and by `above_noise_db` above the noise floor (the quietest recent frame), and the recent sound
    was neither as steady as music (notes hold their pitch, voices glide) nor as unpitched as noise. A gap is
    never speech, and neither the noise floor nor the detector adapts to it.
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
        self._levels: deque[float] = deque(maxlen=_FLOOR_WINDOW_MS // settings.frame_ms)
        self._last_levels: deque[float] = deque(maxlen=_FADING_MS // settings.frame_ms)
        self._harmonics = _Harmonics(settings.frame_ms)
        self._steadiness: deque[float] = deque(maxlen=_STEADY_WINDOW_MS // settings.frame_ms)
        self._voiced: deque[float] = deque(maxlen=_VOICED_WINDOW_MS // settings.frame_ms)

    def judge(self, frame: Samples, in_gap: bool = False) -> FrameDecision:
        """Judge the next frame of exactly `frame_samples`; `in_gap` is the result of `is_gap` for it."""
        level = level_dbfs(frame)
        self._last_levels.append(level)
        if not in_gap:
            self._levels.append(level)
        loud = not in_gap and self._is_loud(level)
        steadiness, voiced = self._harmonics.push(frame, loud)
        if steadiness is not None:
            self._steadiness.append(steadiness)
        if loud:
            self._voiced.append(voiced)
        else:  # forget the sound during silence
            for memory in filter(None, (self._steadiness, self._voiced)):
                memory.popleft()
        # The detector adapts to the room, so it gets every frame.
        pcm = (np.clip(frame, -1.0, 1.0) * 32767).astype("<i2").tobytes()
        detected = not in_gap and self._detector.is_speech(pcm, ENGINE_RATE_HZ)
        is_speech = detected and loud and not self._musical() and not self._hissing()
        return FrameDecision(is_speech, level, steadiness, voiced)

    def _is_loud(self, level: float) -> bool:
        limits, softest = self._settings, self._settings.min_level_dbfs
        loudest = max(self._last_levels)
        if loudest >= softest:
            softest = min(softest, loudest - _SPEECH_RANGE_DB)
        return level >= max(softest, min(self._levels) + limits.above_noise_db)

    def _hissing(self) -> bool:
        known = len(self._voiced)
        enough = known >= _VOICED_MIN_MS // self._settings.frame_ms
        return enough and sum(self._voiced) < self._settings.min_voiced * known

    def _musical(self) -> bool:
        known = len(self._steadiness)
        enough = known >= _STEADY_MIN_MS // self._settings.frame_ms
        return enough and sum(self._steadiness) / known > self._settings.max_steadiness


class _Harmonics:
    """Follows the fine structure of the spectrum while the sound is loud."""

    def __init__(self, frame_ms: int) -> None:
        self._samples = np.zeros(_WINDOW_SAMPLES, np.float32)
        self._window = np.hanning(_WINDOW_SAMPLES)
        self._past: deque[np.ndarray | None] = deque(maxlen=round(_STEADY_LAG_MS / frame_ms))
        taper = np.fft.irfft(np.abs(np.fft.rfft(self._window, 2 * _WINDOW_SAMPLES)) ** 2)[_PITCH_LAGS]
        self._taper = taper / np.sum(self._window**2)

    def push(self, frame: Samples, loud: bool) -> tuple[float | None, bool]:
        """Take a frame; return its similarity to that 80 ms ago (None if either was quiet), and voicing."""
        self._samples = np.concatenate([self._samples[len(frame) :], frame])
        past = self._past[0] if len(self._past) == self._past.maxlen else None
        if not loud:
            self._past.append(None)
            return None, False
        power = np.abs(np.fft.rfft(self._samples * self._window, 2 * _WINDOW_SAMPLES)) ** 2
        correlation = np.fft.irfft(power)
        voiced = bool(
            np.max(correlation[_PITCH_LAGS] / self._taper) > _VOICED_CORRELATION * max(correlation[0], 1e-9)
        )
        fine = _fine_structure(np.sqrt(power[::2][_FIRST_BIN:_LAST_BIN]))
        self._past.append(fine)
        return (None if past is None else float(fine @ past)), voiced


def _fine_structure(magnitudes: np.ndarray) -> np.ndarray:
    """Return the log spectrum without its envelope, scaled to length 1."""
    log = np.log(magnitudes + 1e-2)
    log -= log.mean()
    fine = log - np.convolve(log, np.full(_SMOOTHING_BINS, 1 / _SMOOTHING_BINS), mode="same")
    return fine / max(float(np.linalg.norm(fine)), 1e-9)


@dataclass(frozen=True, slots=True)
class VadStarted:
    """Speech began at `first_sample`."""

    first_sample: int


@dataclass(frozen=True, slots=True)
class VadStopped:
    """Speech paused; `last_sample` is one past its last sample."""

    last_sample: int


class VadMachine:
    """Turns one boolean per frame into starts and stops of speech.

    Speech starts when `start_ms` of the last `start_window_ms` were speech. It stops after `stop_ms` without
    speech, in which a single speech frame does not count.
    """

    def __init__(self, settings: VadSettings) -> None:
        self._frame_samples = samples_of_ms(settings.frame_ms)
        self._start_frames = max(1, round(settings.start_ms / settings.frame_ms))
        self._stop_samples = samples_of_ms(settings.stop_ms)
        window = max(self._start_frames, round(settings.start_window_ms / settings.frame_ms))
        self._recent: deque[bool] = deque(maxlen=window)
        self._now = 0
        self._run = 0
        self.speaking = False
        self.speech_end = 0
        """One past the last sample of speech."""

    def push(self, is_speech: bool) -> VadStarted | VadStopped | None:
        """Take the decision on the next frame; return the start or stop that it brings, if any."""
        self._now += self._frame_samples
        self._run = self._run + 1 if is_speech else 0
        self._recent.append(is_speech)
        if not self.speaking:
            if sum(self._recent) < self._start_frames:
                return None
            self.speaking = True
            self.speech_end = self._now
            frames_back = len(self._recent) - self._recent.index(True)
            return VadStarted(self._now - frames_back * self._frame_samples)
        if self._run > _SPURIOUS_FRAMES:
            self.speech_end = self._now
        elif self._now - self.speech_end >= self._stop_samples:
            self.speaking = False
            self._recent.clear()
            return VadStopped(self.speech_end)
        return None

    @property
    def stirring(self) -> bool:
        """Whether speech may be about to start: a frame of the last `start_window_ms` was speech."""
        return not self.speaking and any(self._recent)

    def stop(self) -> VadStopped | None:
        """End running speech now."""
        self._recent.clear()
        if not self.speaking:
            return None
        self.speaking = False
        return VadStopped(self.speech_end)
