"""When somebody speaks: hysteresis over frame decisions. Pure; frames are judged in `turns.frames`."""

from collections import deque
from dataclasses import dataclass

from taste_agent.clock import samples_of_ms
from taste_agent.config import VadSettings

_SPURIOUS_FRAMES = 1
"""A speech frame alone inside silence does not count as going on."""


@dataclass(frozen=True, slots=True)
class VadStarted:
    """Speech has begun at `first_sample`."""

    first_sample: int


@dataclass(frozen=True, slots=True)
class VadStopped:
    """Speech has paused; `last_sample` is one past its last sample."""

    last_sample: int


class VadMachine:
    """Turns one boolean a frame into starts and stops of speech.

    Speech starts when `start_ms` of the last `start_window_ms` were speech, and stops after `stop_ms`
    without any (a lone speech frame does not count).
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
        """Takes the decision for the next frame; tells if something began or ended with it."""
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
        """Whether there was any speech in the last `start_window_ms` that might be a beginning."""
        return not self.speaking and any(self._recent)

    def stop(self) -> VadStopped | None:
        """Ends running speech now (the microphone was muted)."""
        self._recent.clear()
        if not self.speaking:
            return None
        self.speaking = False
        return VadStopped(self.speech_end)
