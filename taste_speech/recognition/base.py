"""What the agent and the processor need from any speech recognizer."""

from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

RECOGNITION_RATE_HZ = 16000
"""Rate of the samples that every recognizer accepts."""


@dataclass(frozen=True)
class RecognizedWord:
    """A word of the transcript.

    Attributes:
        text: without blanks around it.
        start_s, end_s: from the first sample accepted since `start`; None where the recognizer has no times.
        confidence: 0 to 1; None where the recognizer has none.
    """

    text: str
    start_s: float | None = None
    end_s: float | None = None
    confidence: float | None = None

    def later_by(self, seconds: float) -> "RecognizedWord":
        """The word with its times, if it has any, moved by `seconds`."""
        if self.start_s is None or self.end_s is None:
            return self
        return replace(self, start_s=self.start_s + seconds, end_s=self.end_s + seconds)


@dataclass(frozen=True)
class Recognition:
    """Transcript of one utterance.

    Attributes:
        text: lower case, numbers in words, no punctuation.
        words: those of `text`, in order.
        written: the same with capitals, punctuation and digits; empty where the recognizer has none.
    """

    text: str = ""
    words: tuple[RecognizedWord, ...] = field(default=())
    written: str = ""


class Recognizer(Protocol):
    """Recognizes one utterance at a time: `start`, `accept` as audio arrives, `finish`."""

    def start(self) -> None:
        """Begin an utterance; whatever was accepted before is forgotten."""

    def accept(self, samples: NDArray[np.float32]) -> None:
        """Take more audio: 1-D float32, 16 kHz mono, in [-1, 1]."""

    def partial(self) -> str:
        """The text so far, which later audio may change; empty when the recognizer has none."""
        ...

    def finish(self) -> Recognition:
        """The transcript of everything accepted since `start`."""
        ...
