"""The interface of speech recognizers, and the code that they share."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from taste_speech.errors import AudioError

if TYPE_CHECKING:
    from taste_speech.audio_tower.encoder import EncodedAudio

RECOGNITION_RATE_HZ = 16000
"""Sampling rate that every recognizer accepts."""
_SEARCH_S, _QUIET_S = 5.0, 0.1


@dataclass(frozen=True)
class RecognizedWord:
    """A word of the transcript.

    Attributes:
        text: the word without surrounding spaces.
        start_s, end_s: times since the first sample accepted after `start`; None if unknown.
        confidence: 0 to 1; None if unknown.
    """

    text: str
    start_s: float | None = None
    end_s: float | None = None
    confidence: float | None = None

    def later_by(self, seconds: float) -> "RecognizedWord":
        """Return the word with its times, if known, shifted by `seconds`."""
        if self.start_s is None or self.end_s is None:
            return self
        return replace(self, start_s=self.start_s + seconds, end_s=self.end_s + seconds)


@dataclass(frozen=True)
class Recognition:
    """Transcript of one utterance.

    Attributes:
        text: the words as spoken, numbers spelled out, with the recognizer's capitals and punctuation.
        words: the words of `text`, in order.
        written: the same text with digits; empty if the recognizer does not provide it.
        finished: probability, judged by the sound, that the speaker has finished; None if unknown.
    """

    text: str = ""
    words: tuple[RecognizedWord, ...] = ()
    written: str = ""
    finished: float | None = None


class Recognizer(Protocol):
    """Recognizes one utterance at a time: `start`, `accept` as audio arrives, `finish`."""

    def start(self) -> None:
        """Start an utterance and forget the previous one."""

    def accept(self, samples: NDArray[np.float32]) -> None:
        """Add audio: 1-D float32, 16 kHz mono, in [-1, 1]."""

    def partial(self) -> str:
        """Return the text so far, which later audio may change; empty if there is none yet."""
        ...

    def finish(self) -> Recognition:
        """Return the transcript of everything accepted since `start`."""
        ...

    def encoded(self, samples: NDArray[np.float32], value_layer: int) -> "EncodedAudio | None":
        """Return what an audio tower with the same encoder would make of these samples.

        Args:
            samples: 1-D, 16 kHz.
            value_layer: layer of the encoder whose input becomes the values.

        Returns:
            None if the recognizer has not just encoded exactly these samples.
        """
        ...


class BufferedRecognizer(ABC):
    """A `Recognizer` that transcribes the whole utterance again for each result."""

    def __init__(self) -> None:
        self._accepted: list[NDArray[np.float32]] = []
        self._recognized: tuple[int, Recognition] = (0, Recognition())

    def start(self) -> None:
        """Start an utterance and forget the previous one."""
        self._accepted, self._recognized = [], (0, Recognition())

    def accept(self, samples: NDArray[np.float32]) -> None:
        """Add audio: 1-D float32, 16 kHz mono, in [-1, 1].

        Raises:
            AudioError: the shape is wrong, or a sample is not finite.
        """
        if samples.ndim != 1 or not np.isfinite(samples).all():
            raise AudioError(
                f"the recognizer takes one channel of finite samples; got shape {samples.shape}; "
                "mix to mono and remove NaN first"
            )
        self._accepted.append(samples.astype(np.float32))

    def partial(self) -> str:
        """Return the text so far, which later audio may change; empty if there is none yet."""
        return self.finish().text

    def finish(self) -> Recognition:
        """Return the transcript of everything accepted since `start`."""
        count = sum(map(len, self._accepted))
        if count != self._recognized[0]:
            self._recognized = (count, self._recognize(np.concatenate(self._accepted)))
        return self._recognized[1]

    def encoded(self, samples: NDArray[np.float32], value_layer: int) -> "EncodedAudio | None":
        """Return None: the encoder states are not kept."""
        return None

    @abstractmethod
    def _recognize(self, audio: NDArray[np.float32]) -> Recognition: ...


def split_at_quiet(
    audio: NDArray[np.float32], max_samples: int, sampling_rate_hz: int
) -> list[NDArray[np.float32]]:
    """Cut audio (T,) into parts of at most `max_samples`, each at a quiet moment in its last seconds."""
    parts = []
    quiet, search = int(_QUIET_S * sampling_rate_hz), int(_SEARCH_S * sampling_rate_hz)
    while audio.size > max_samples:
        first = max(max_samples - search, max_samples // 2)
        blocks = audio[first : first + (max_samples - first) // quiet * quiet].reshape(-1, quiet)
        cut = first + int(np.square(blocks).sum(axis=1).argmin()) * quiet + quiet // 2
        parts.append(audio[:cut])
        audio = audio[cut:]
    return [*parts, audio] if audio.size else parts
