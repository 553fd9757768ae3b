"""Phones: the flow of some checkpoints reads them in place of speech units.

Units are drawn, and each may stand for several phones; what is said is known, though. A small network tells
from the units when each phone is said, and the flow makes sound of the phones at these times.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from taste_speech.division import best_division

PAUSE = "pause"
STRESS = ("ˈ", "ˌ")
VOWELS = "AIOQWYaiuæɑɒɔəɐɚɛɜɪʊʌᵊᵻ"
PHONES = (PAUSE, *VOWELS, *"bdfhjklmnpstvwxzðŋɡɹɾʃʒʤʧθʔT", *STRESS)
"""Symbols of hibari (those of misaki: A is the vowel of "day", ʤ the first sound of "judge").

A phone's number is its place here. Stress marks are no phones of their own."""
MARKS = ("", ",;:—-…", ".!", "?")
"""Punctuation behind a word that changes how it is said: none, a clause, a statement, a question.

Number p of a phone with mark m is a *marked phone*, m * len(PHONES) + p."""
UNKNOWN = len(MARKS) * len(PHONES)
"""Marked phone that stands for any, where nothing tells it."""
_DURATION_WEIGHT = 30.0
"""Of the squared logarithm of a phone's duration over the usual one, against the logarithm of probability."""
_SHORTEST_PAUSE = 3
"""Units of a pause between words; what is shorter belongs to a plosive."""
_NUMBERS = {phone: number for number, phone in enumerate(PHONES) if phone not in STRESS}


def mark_of(word: str) -> int:
    """Return the number of the mark at the end of a word."""
    last = word.rstrip("\"')”’")[-1:]
    return next((number for number, marks in enumerate(MARKS) if last and last in marks), 0)


def marked_phones(pronounced: str) -> list[int]:
    """Return the marked phones of a word that is given in phonemes; stress marks are none."""
    offset = mark_of(pronounced) * len(PHONES)
    return [offset + _NUMBERS[symbol] for symbol in pronounced if symbol in _NUMBERS]


class PhoneEmbedding(nn.Module):
    """Vectors of marked phones: that of the phone and that of the mark.

    Args:
        size: of the vectors.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.phones = nn.Embedding(len(PHONES), size)
        self.marks = nn.Embedding(len(MARKS) + 1, size)  # the last one is of what is unknown

    def forward(self, marked: Tensor) -> Tensor:
        """(...) -> (..., size)."""
        return self.phones(marked % len(PHONES)) + self.marks(marked // len(PHONES))


class PhoneTeller(nn.Module):
    """Tells the phone at each unit from the units around it.

    Args:
        units: size of the vocabulary of units.
        channels: of the convolutions.
        layers: of them.
        dropout: in training.

    Attributes:
        durations: (phones,) seconds that each of them usually lasts.
    """

    durations: Tensor

    def __init__(self, units: int, channels: int = 128, layers: int = 4, dropout: float = 0.3) -> None:
        super().__init__()
        self.embedding = nn.Embedding(units, channels)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel_size=5, padding=2) for _ in range(layers)
        )
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(channels, len(PHONES))
        self.register_buffer("durations", torch.ones(len(PHONES)))

    def forward(self, unit_ids: Tensor) -> Tensor:
        """(batch, units) -> logits (batch, units, phones)."""
        x = self.dropout(self.embedding(unit_ids)).transpose(1, 2)
        for convolution in self.convolutions:
            x = x + self.dropout(torch.relu(convolution(x)))
        return self.output(x.transpose(1, 2))


@dataclass(frozen=True)
class _States:
    """What is said, phone by phone, with a pause that may be passed over before each word and at the end.

    Attributes:
        marked: (states,) marked phones.
        words: (states,) number of each phone's word; -1 for pauses.
    """

    marked: NDArray[np.int64]
    words: NDArray[np.int64]

    @classmethod
    def of(cls, words: Sequence[Sequence[int]]) -> Self:
        """Those of words that are given as marked phones."""
        marked, numbers = [0], [-1]
        for number, word in enumerate(words):
            if word:
                marked += [*word, word[-1] - word[-1] % len(PHONES)]
                numbers += [*[number] * len(word), -1]
        return cls(np.array(marked), np.array(numbers))

    @property
    def is_pause(self) -> NDArray[np.bool_]:
        """(states,) booleans."""
        return self.words < 0

    @property
    def phones(self) -> NDArray[np.int64]:
        """(states,) phones without marks."""
        return self.marked % len(PHONES)


def aligned(
    scores: NDArray[np.float32],
    words: Sequence[Sequence[int]],
    durations: NDArray[np.float32],
) -> tuple[list[int], list[int]]:
    """Divide units among the phones of the words that they say: the most probable division.

    Around words there may be pauses, with the mark of the word before. Between pauses, each phone has at
    least one unit, and about as many as it usually has. Where there are too few units, all are as short.

    Args:
        scores: (units, phones) logarithms of probabilities.
        words: the marked phones of each word.
        durations: (phones,) how long each usually is; only their ratios count.

    Returns:
        The marked phone at each unit, and the unit after the last phone of each word.
    """
    states, units = _States.of(words), len(scores)
    path = _path(states, scores, durations)
    ends, end = [], 0
    for number in range(len(words)):
        places = np.flatnonzero(states.words[path] == number)
        end = int(places[-1]) + 1 if len(places) else end
        ends.append(end)
    return states.marked[path].tolist() if units else [], ends


def _path(states: _States, scores: NDArray[np.float32], durations: NDArray[np.float32]) -> NDArray[np.int64]:
    """Number of the state at each unit, (units,)."""
    units, said = len(scores), np.flatnonzero(~states.is_pause)
    if units == 0 or not len(said):
        return np.zeros(units, np.int64)
    if units < len(said):
        return said[np.arange(units) * len(said) // units]
    own = scores[:, states.phones].astype(np.float64)
    path: list[int] = []
    for first, after, members in _stretches(states, _best_path(own, states.is_pause)):
        count = after - first
        if count < len(members):
            path += [members[place * len(members) // count] for place in range(count)]
            continue
        usual = durations[states.phones[members]]
        expected = count * usual / usual.sum()
        divided = best_division(own[first:after, members], expected, _DURATION_WEIGHT)
        for state, start, end in zip(members, [0, *divided], divided, strict=False):
            path += [state] * (end - start)
    return np.array(path)


def _stretches(states: _States, path: list[int]) -> Iterator[tuple[int, int, list[int]]]:
    """Yield each pause and what is between pauses: its first unit, the unit after it, and its states."""
    begun, members = 0, list[int]()
    for state, run in groupby(enumerate(path), key=lambda step: step[1]):
        places = [place for place, _ in run]
        if not states.is_pause[state]:
            members.append(state)
            continue
        if len(places) < _SHORTEST_PAUSE and state not in (0, len(states.marked) - 1):
            continue
        if members:
            yield begun, places[0], members
        yield places[0], places[-1] + 1, [state]
        begun, members = places[-1] + 1, []
    if members:
        yield begun, len(path), members


def _best_path(scores: NDArray[np.float64], optional: NDArray[np.bool_]) -> list[int]:
    """Number of the state at each unit (Viterbi); those that are optional may be passed over."""
    units, count = scores.shape
    best = np.full(count, -np.inf)
    best[:2] = scores[0, :2]
    steps = np.zeros((units, count), np.int8)  # how many states back the best way came from
    jumps = np.concatenate([[False], optional[:-1]])  # the state before may be passed over
    for unit in range(1, units):
        one = np.concatenate([[-np.inf], best[:-1]])
        two = np.where(jumps, np.concatenate([[-np.inf, -np.inf], best[:-2]]), -np.inf)
        ways = np.stack([best, one, two])
        steps[unit] = ways.argmax(0)
        best = ways.max(0) + scores[unit]
    path = [count - (1 if best[-1] > best[-2] else 2)]
    for unit in range(units - 1, 0, -1):
        path.append(path[-1] - int(steps[unit, path[-1]]))
    return path[::-1]
