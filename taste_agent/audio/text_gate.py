"""A second gate against echo: words recognised while the agent was saying them are not the person's."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby
from typing import Any

from taste_agent.audio.ports import Samples
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
# How far the end of a word that was recognised, or counted as heard, may lie beside the truth.
TIMING_S = 0.2


@dataclass(frozen=True, slots=True)
class PlayedWord:
    """A word of the agent and the input sample at which it had been heard to its end."""

    text: str
    at: int


@dataclass(frozen=True, slots=True)
class HeardWord:
    """A recognised word and the input samples between which it must have ended."""

    text: str
    earliest: int
    latest: int


def heard_words(words: Sequence[RecognizedWord], start: int, samples: int) -> list[HeardWord]:
    """The words recognised in `samples` from input sample `start` on.

    One without a time may have ended anywhere in them.
    """
    heard = []
    for word in words:
        if word.end_s is None:
            heard.append(HeardWord(word.text, start, start + samples))
        else:
            end = start + round(word.end_s * ENGINE_RATE_HZ)
            heard.append(HeardWord(word.text, end, end))
    return heard


def own_words(heard: Sequence[HeardWord], played: Sequence[PlayedWord], reach: int) -> list[bool]:
    """For each recognised word whether it is the person's own, given what was played.

    Words are matched in order, by the likeness of their letters, and only where the one can be the other's
    echo: it ends after it, by `reach` samples at most. Where most of them match, nothing is the person's own;
    else what matches in a run of words is not.
    """
    matched = _match_in_order([[_is_echo(one, other, reach) for other in played] for one in heard])
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


def _is_echo(heard: HeardWord, played: PlayedWord, reach: int) -> bool:
    if not heard.earliest - reach <= played.at <= heard.latest + round(TIMING_S * ENGINE_RATE_HZ):
        return False
    return _alike(_letters(heard.text), _letters(played.text))


def _alike(one: str, other: str) -> bool:
    if one == other:
        return bool(one)
    if min(len(one), len(other)) < MIN_ROUGH_LETTERS:
        return False
    return SequenceMatcher(None, one, other).ratio() >= SAME_WORD


def _match_in_order(alike: list[list[bool]]) -> list[bool]:
    """The longest common subsequence, where `alike[i][j]` says which elements are: a mark for each row."""
    rows, columns = len(alike), len(alike[0]) if alike else 0
    best = [[0] * (columns + 1) for _ in range(rows + 1)]
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

    def __init__(self, reach_s: Callable[[], float]) -> None:
        """`reach_s` gives how long after a word was heard its echo may now be heard."""
        self._reach_s = reach_s
        self._played: deque[PlayedWord] = deque(maxlen=REMEMBERED_WORDS)
        self.dropped_words = 0

    def played(self, word: PlayedWord) -> None:
        """A word of the agent was heard to its end."""
        self._played.append(word)

    def filter(self, recognition: Recognition, start: int, samples: int) -> Recognition:
        """Take the agent's own words out of what was recognised in `samples` from input sample `start` on."""
        reach = round((self._reach_s() + TIMING_S) * ENGINE_RATE_HZ)
        played = [word for word in tuple(self._played) if word.at >= start - reach]
        if not played or not recognition.words:
            return recognition
        own = own_words(heard_words(recognition.words, start, samples), played, reach)
        if all(own):
            return recognition
        kept = tuple(word for word, mine in zip(recognition.words, own, strict=True) if mine)
        echo = [word.text for word, mine in zip(recognition.words, own, strict=True) if not mine]
        self.dropped_words += len(echo)
        return GatedRecognition(" ".join(word.text for word in kept), kept, echo_text=" ".join(echo))


class GatedRecognizer:
    """A recogniser whose words have passed the gate."""

    def __init__(self, recognizer: Recognizer, gate: EchoGate) -> None:
        """Wrap `recognizer`."""
        self._recognizer = recognizer
        self._gate = gate
        self._start = self._samples = 0
        self.echo_text = ""
        """The agent's own words in the last partial result."""

    def begin_at(self, sample: int) -> None:
        """Tell which input sample the first one accepted after the next `start` is."""
        self._start = sample

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
            Recognition(" ".join(word.text for word in words), words), self._start, self._samples
        )
        self._gate.dropped_words = dropped  # counted once, when the piece is finished
        self.echo_text = recognition.echo_text if isinstance(recognition, GatedRecognition) else ""
        return recognition.text

    def finish(self) -> Recognition:
        """End the piece."""
        return self._gate.filter(self._recognizer.finish(), self._start, self._samples)


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
