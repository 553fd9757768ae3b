"""What the agent and the processor need from any speech recognizer, and what all recognizers share."""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

RECOGNITION_RATE_HZ = 16000
"""Rate of the samples that every recognizer accepts."""
FINISHED_STEP_S = 0.1
"""Between the silences for which a recognition tells whether the speaker has finished."""
_SEARCH_S, _QUIET_S = 5.0, 0.1


@dataclass(frozen=True)
class RecognizedWord:
    """A word of the transcript.

    Attributes:
        text: without spaces around it.
        start_s, end_s: from the first sample accepted since `start`; None where the recognizer has no times.
        confidence: 0 to 1; None where the recognizer has none.
    """

    text: str
    start_s: float | None = None
    end_s: float | None = None
    confidence: float | None = None

    def later_by(self, seconds: float) -> "RecognizedWord":
        """Return the word with its times, if it has any, moved by `seconds`."""
        if self.start_s is None or self.end_s is None:
            return self
        return replace(self, start_s=self.start_s + seconds, end_s=self.end_s + seconds)


@dataclass(frozen=True)
class Recognition:
    """Transcript of one utterance.

    Attributes:
        text: as it is said, numbers in words, with the recognizer's capitals and punctuation.
        words: those of `text`, in order.
        written: the same with digits; empty where the recognizer has none.
        finished: probability that the speaker has finished, by how it sounds, then the same if there are
            `FINISHED_STEP_S`, twice as much, and so on, of silence after it; empty where nothing tells.
    """

    text: str = ""
    words: tuple[RecognizedWord, ...] = ()
    written: str = ""
    finished: tuple[float, ...] = ()


class Recognizer(Protocol):
    """Recognizes one utterance at a time: `start`, `accept` as audio arrives, `finish`."""

    def start(self) -> None:
        """Begin an utterance and forget the one before."""

    def accept(self, samples: NDArray[np.float32]) -> None:
        """Take more audio: 1-D float32, 16 kHz mono, in [-1, 1]."""

    def partial(self) -> str:
        """Return the text so far, which later audio may change; empty when the recognizer has none."""
        ...

    def finish(self) -> Recognition:
        """Return the transcript of everything accepted since `start`."""
        ...


def split_at_quiet(
    audio: NDArray[np.float32], max_samples: int, sampling_rate_hz: int
) -> list[NDArray[np.float32]]:
    """Cut (T,) audio into parts of at most `max_samples`, each at a quiet moment of its last seconds."""
    parts = []
    quiet, search = int(_QUIET_S * sampling_rate_hz), int(_SEARCH_S * sampling_rate_hz)
    while audio.size > max_samples:
        first = max(max_samples - search, max_samples // 2)
        blocks = audio[first : first + (max_samples - first) // quiet * quiet].reshape(-1, quiet)
        cut = first + int(np.square(blocks).sum(axis=1).argmin()) * quiet + quiet // 2
        parts.append(audio[:cut])
        audio = audio[cut:]
    return [*parts, audio] if audio.size else parts
