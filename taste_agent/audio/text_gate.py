"""A second gate against echo: words recognised while the agent was saying them are not the person's."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby
from typing import Any

from taste_agent.audio.ring import Samples
from taste_agent.clock import ENGINE_RATE_HZ
from taste_agent.dialog.brain import Brain
from taste_speech.recognition.base import Recognition, RecognizedWord, Recognizer

# A recogniser hears an echo roughly: words count as the same from this likeness of their letters on.
SAME_WORD = 0.65
MIN_ROUGH_LETTERS = 3
# Above this share of echoed words the rest is taken for misheard echo as well.
MOSTLY_ECHO = 0.7
# Below it only runs of so many echoed words are dropped: two people share their "the" and "is".
MIN_RUN = 3
REMEMBERED_WORDS = 400


@dataclass(frozen=True, slots=True)
class PlayedWord:
    """A word of the agent and the input sample at which it had been heard to its end."""

    text: str
    at: int


def own_words(recognised: Sequence[str], played: Sequence[str]) -> list[bool]:
    """For each recognised word whether it is the person's own, given what was played meanwhile.

    Words are matched in order, by likeness of their letters. Where most of them match, nothing is the
    person's own; else what matches in a run of words is not.
    """
    spoken = [_letters(word) for word in played]
    matched = _match_in_order([_letters(word) for word in recognised], spoken)
    share = sum(matched) / len(matched) if matched else 0.0
    if share >= MOSTLY_ECHO:
        return [False] * len(matched)
    own: list[bool] = []
    for is_echo, run in groupby(matched):
        length = len(list(run))
        own += [not (is_echo and length >= MIN_RUN)] * length
    return own


def _letters(word: str) -> str:
    return re.sub(r"[^\w]", "", word).lower()


def _alike(one: str, other: str) -> bool:
    if one == other:
        return bool(one)
    if min(len(one), len(other)) < MIN_ROUGH_LETTERS:
        return False
    return SequenceMatcher(None, one, other).ratio() >= SAME_WORD


def _match_in_order(heard: list[str], played: list[str]) -> list[bool]:
    """The longest common subsequence of alike words, as a mark for each heard word."""
    rows, columns = len(heard), len(played)
    best = [[0] * (columns + 1) for _ in range(rows + 1)]
    alike = [[_alike(one, other) for other in played] for one in heard]
    for i in range(rows - 1, -1, -1):
        for j in range(columns - 1, -1, -1):
            paired = best[i + 1][j + 1] + 1 if alike[i][j] else 0
            best[i][j] = max(paired, best[i + 1][j], best[i][j + 1])
    marks = [False] * rows
    i = j = 0
    while i < rows and j < columns:
        if alike[i][j] and best[i][j] == best[i + 1][j + 1] + 1:
            marks[i] = True
            i, j = i + 1, j + 1
        elif best[i + 1][j] >= best[i][j + 1]:
            i += 1
        else:
            j += 1
    return marks


@dataclass(frozen=True)
class GatedRecognition(Recognition):
    """What was recognised without the agent's own words; those are in `echo_text`."""

    echo_text: str = ""


class EchoGate:
    """Remembers what was played; a recogniser asks it which words to believe. Safe between two threads."""

    def __init__(self, slack_s: float, now: Callable[[], int]) -> None:
        """`now` gives the input sample that is now; `slack_s` widens the time of each speech."""
        self._slack_samples = round(slack_s * ENGINE_RATE_HZ)
        self._now = now
        self._played: deque[PlayedWord] = deque(maxlen=REMEMBERED_WORDS)
        self.dropped_words = 0

    def played(self, word: PlayedWord) -> None:
        """A word of the agent was heard to its end."""
        self._played.append(word)

    def filter(self, recognition: Recognition, speech_samples: int) -> Recognition:
        """Take the agent's own words out of what was recognised in the last `speech_samples`."""
        since = self._now() - speech_samples - self._slack_samples
        played = [word.text for word in tuple(self._played) if word.at >= since]
        if not played or not recognition.words:
            return recognition
        own = own_words([word.text for word in recognition.words], played)
        if all(own):
            return recognition
        kept = tuple(word for word, mine in zip(recognition.words, own, strict=True) if mine)
        echo = [word.text for word, mine in zip(recognition.words, own, strict=True) if not mine]
        self.dropped_words += len(echo)
        return GatedRecognition(" ".join(word.text for word in kept), kept, " ".join(echo))


class GatedRecognizer:
    """A recogniser whose words have passed the gate."""

    def __init__(self, recognizer: Recognizer, gate: EchoGate) -> None:
        """Wrap `recognizer`."""
        self._recognizer = recognizer
        self._gate = gate
        self._samples = 0
        self.echo_text = ""
        """The agent's own words in the last partial result."""

    def start(self) -> None:
        """Begin a new piece of speech."""
        self._samples = 0
        self.echo_text = ""
        self._recognizer.start()

    def accept(self, samples: Samples) -> None:
        """Take the next (T,) samples at 16 kHz."""
        self._samples += samples.size
        self._recognizer.accept(samples)

    def partial(self) -> str:
        """What is recognised so far and is not the agent's own."""
        words = tuple(RecognizedWord(word) for word in self._recognizer.partial().split())
        dropped = self._gate.dropped_words
        recognition = self._gate.filter(
            Recognition(" ".join(word.text for word in words), words), self._samples
        )
        self._gate.dropped_words = dropped  # counted once, when the piece is finished
        self.echo_text = recognition.echo_text if isinstance(recognition, GatedRecognition) else ""
        return recognition.text

    def finish(self) -> Recognition:
        """End the piece."""
        return self._gate.filter(self._recognizer.finish(), self._samples)


class GatedBrain:
    """A brain whose recogniser is gated; everything else is the brain's own."""

    def __init__(self, brain: Brain, gate: EchoGate) -> None:
        """Wrap `brain`."""
        self._brain = brain
        self._gate = gate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._brain, name)

    def recognizer(self) -> Recognizer:
        """The brain's recogniser behind the gate."""
        return GatedRecognizer(self._brain.recognizer(), self._gate)
