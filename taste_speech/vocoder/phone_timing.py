"""When each phone is to sound.

Units are drawn, and each may stand for several phones; what is said is known, though. A small network tells
from the units where the speaker pauses, another one how long each phone lasts between its neighbors. The
units between two pauses are drawn out or shortened so that each phone has its time; how many there were still
tells how fast the phrase is.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from taste_speech.vocoder.phones import PHONES, PhoneEmbedding, pause_after

_SHORTEST_PAUSE = 3
"""Units of a pause between words; what is shorter belongs to a plosive."""
_MEAN_S = 0.08
"""Of a phone, about: where training begins."""
PACE_OF_UNITS = 0.5
"""Exponent of the number of units over that which the phones usually take, in how long they are said: 1 keeps
the number, 0 the usual time. Twelve sentences said again (split valid): 6.7 % word errors at 0, 7.8 at .5."""


class PhoneTeller(nn.Module):
    """Tells the phone at each unit from the units around it.

    Args:
        units: size of the vocabulary of units.
        channels: of the convolutions.
        layers: of them.
        dropout: in training.
    """

    def __init__(self, units: int, channels: int = 128, layers: int = 4, dropout: float = 0.3) -> None:
        super().__init__()
        self.embedding = nn.Embedding(units, channels)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel_size=5, padding=2) for _ in range(layers)
        )
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(channels, len(PHONES))

    def forward(self, unit_ids: Tensor) -> Tensor:
        """(batch, units) -> logits (batch, units, phones)."""
        x = self.dropout(self.embedding(unit_ids)).transpose(1, 2)
        for convolution in self.convolutions:
            x = x + self.dropout(torch.relu(convolution(x)))
        return self.output(x.transpose(1, 2))


class PhoneTimer(nn.Module):
    """Tells how long each phone of some words usually lasts, from the phones around it.

    Args:
        channels: of the convolutions.
        layers: of them.
        dropout: in training.
    """

    def __init__(self, channels: int = 96, layers: int = 3, dropout: float = 0.1) -> None:
        super().__init__()
        self.embedding = PhoneEmbedding(channels)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel_size=5, padding=2) for _ in range(layers)
        )
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(channels, 1)
        nn.init.zeros_(self.output.weight)
        nn.init.constant_(self.output.bias, math.log(_MEAN_S))

    def forward(self, marked: Tensor, mask: Tensor | None = None) -> Tensor:
        """(batch, phones) marked phones, pauses among them -> (batch, phones) logarithms of seconds.

        Args:
            marked: see `phones.MARKS`.
            mask: (batch, phones), 0 at padding; None: there is none.
        """
        x = self.embedding(marked)
        kept = torch.ones_like(x[..., 0]) if mask is None else mask.to(x.dtype)
        x, kept = x.transpose(1, 2) * kept.unsqueeze(1), kept.unsqueeze(1)
        for convolution in self.convolutions:
            x = (x + self.dropout(torch.relu(convolution(x)))) * kept
        return self.output(x.transpose(1, 2)).squeeze(-1)


@dataclass(frozen=True)
class TimedUnits:
    """Units, and what is said at each of them.

    Attributes:
        ids: of the units.
        phones: the marked phone at each.
        word_ends: the unit after the last phone of each word; None where nothing tells.
    """

    ids: list[int]
    phones: list[int]
    word_ends: list[int] | None


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
                marked += [*word, pause_after(word[-1])]
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


@dataclass(frozen=True)
class _Phrase:
    """Units from `first` to before `after`, which say these states: a pause, or what is between pauses."""

    first: int
    after: int
    states: list[int]


def timed(
    units: Sequence[int],
    scores: NDArray[np.float32],
    words: Sequence[Sequence[int]],
    usual: Callable[[list[int]], NDArray[np.float32]],
    pace_of_units: float = PACE_OF_UNITS,
) -> TimedUnits:
    """Give each phone its time.

    Around words there may be pauses, with the mark of the word before; they are as long as in the units.

    Args:
        units: in which the words are said.
        scores: (units, phones) logarithms of probabilities.
        words: the marked phones of each word.
        usual: gives the usual durations in units of marked phones.
        pace_of_units: see `PACE_OF_UNITS`; 1: the units stay as they are.
    """
    states = _States.of(words)
    phrases = _phrases(states, scores)
    order = [state for phrase in phrases for state in phrase.states]
    durations = np.zeros(0, np.float32)
    if order:
        durations = usual(states.marked[order].tolist())
    ids: list[int] = []
    path: list[int] = []
    known = 0
    for phrase in phrases:
        own = durations[known : known + len(phrase.states)]
        known += len(own)
        given = phrase.after - phrase.first
        count = given
        if not states.is_pause[phrase.states[0]] and pace_of_units < 1:
            pace = (given / own.sum()) ** pace_of_units
            count = max(len(own), round(float(own.sum() * pace)))
        path += [state for state, n in zip(phrase.states, _shared(own, count), strict=True) for _ in range(n)]
        ids += [units[phrase.first + (2 * place + 1) * given // (2 * count)] for place in range(count)]
    ends, end = [], 0
    for number in range(len(words)):
        places = np.flatnonzero(states.words[path] == number)
        end = int(places[-1]) + 1 if len(places) else end
        ends.append(end)
    return TimedUnits(ids, states.marked[path].tolist(), ends)


def _shared(durations: NDArray[np.float32], count: int) -> list[int]:
    """Units of each phone, in proportion to the durations; one at least, where there are enough."""
    parts = len(durations)
    if count < parts:
        return np.bincount(np.arange(count) * parts // max(1, count), minlength=parts).tolist()
    ends = np.round(np.cumsum(durations) * (count / durations.sum())).astype(int)
    least, most = np.arange(1, parts + 1), np.arange(count - parts + 1, count + 1)
    ends = np.minimum(np.maximum.accumulate(np.maximum(ends - least, 0)) + least, most)
    ends[-1] = count
    return np.diff(ends, prepend=0).tolist()


def _phrases(states: _States, scores: NDArray[np.float32]) -> list[_Phrase]:
    """What is said between pauses, and the pauses that last."""
    units, said = len(scores), np.flatnonzero(~states.is_pause)
    if units == 0:
        return []
    if not len(said):
        return [_Phrase(0, units, [0])]
    if units < len(said):
        return [_Phrase(0, units, said.tolist())]
    own = scores[:, states.phones].astype(np.float64)
    return list(_stretches(states, _best_path(own, states.is_pause)))


def _stretches(states: _States, path: list[int]) -> Iterator[_Phrase]:
    """Yield each pause and what is between pauses, in order."""
    begun, members = 0, list[int]()
    for state, run in groupby(enumerate(path), key=lambda step: step[1]):
        places = [place for place, _ in run]
        if not states.is_pause[state]:
            members.append(state)
            continue
        if len(places) < _SHORTEST_PAUSE and state not in (0, len(states.marked) - 1):
            continue
        if members:
            yield _Phrase(begun, places[0], members)
        yield _Phrase(places[0], places[-1] + 1, [state])
        begun, members = places[-1] + 1, []
    if members:
        yield _Phrase(begun, len(path), members)


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
