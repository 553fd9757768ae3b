"""The layout of a session's picture: rows break between turns, and long silences are folded."""

import textwrap
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from taste_agent.session.transcript import Turn

ROW_S = 20.0
LONGEST_S = 2 * ROW_S
"""A span up to this length stays in one row, at a smaller scale if necessary."""
MOST_ROWS = 30
FOLD_FROM_S, FOLD_KEEPS_S, FOLD_S = 3.0, 0.7, 0.6
"""Shortest silence that is folded, how much of it stays at each end, and the width of the fold."""
MIN_SHARE = 0.12
"""Share of a row's width that every text gets, unless there are too many texts."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a session and its place in the row, in seconds."""

    start_s: float
    end_s: float
    x: float


@dataclass(frozen=True, slots=True)
class Row:
    """Stretches from left to right, with folds between them."""

    stretches: tuple[Stretch, ...]
    width_s: float

    def x_of(self, at_s: float) -> float:
        """Return where a moment of the session is drawn. A moment in a fold is drawn at its edge."""
        starts = [stretch.start_s for stretch in self.stretches]
        stretch = self.stretches[max(0, bisect_right(starts, at_s) - 1)]
        return stretch.x + min(max(at_s, stretch.start_s), stretch.end_s) - stretch.start_s

    def holds(self, at_s: float) -> bool:
        """Return whether this row contains a moment of the session."""
        return self.stretches[0].start_s <= at_s < self.stretches[-1].end_s


def rows_of(duration_s: float, busy: Iterable[tuple[float, float]], turns: Sequence[Turn]) -> list[Row]:
    """Lay out a session in rows.

    Args:
        duration_s: duration of the session.
        busy: (start, end) of everything that happens in it. Overlapping spans stay together.
        turns: turns of both sides. A span too long for a row is cut between turns, or between words.
    """
    whole = [part for atom in _merged(busy, duration_s) for part in _cut(atom, turns)]
    stretches = _folded(whole, duration_s)
    total_s = sum(end - start for start, end in stretches) + FOLD_S * len(stretches)
    row_s = max(ROW_S, total_s / MOST_ROWS)
    rows: list[list[tuple[float, float]]] = [[]]
    for stretch in stretches:
        if rows[-1] and _width(rows[-1]) + FOLD_S + stretch[1] - stretch[0] > row_s:
            rows.append([])
        rows[-1].append(stretch)
    return [Row(tuple(_placed(row)), max(_width(row), row_s)) for row in rows]


def _merged(busy: Iterable[tuple[float, float]], duration_s: float) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for start, end in sorted((max(0.0, start), min(end, duration_s)) for start, end in busy):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        elif start <= end:
            merged.append((start, end))
    return merged


def _cut(atom: tuple[float, float], turns: Sequence[Turn]) -> list[tuple[float, float]]:
    """Cut a span into parts of at most `LONGEST_S`, at a turn, else at a word, else anywhere."""
    turn_starts = [turn.start_s for turn in turns]
    word_starts = [word.start_s for turn in turns for word in turn.words]
    parts = []
    start, end = atom
    while end - start > LONGEST_S:
        for candidates in (turn_starts, word_starts, [start + ROW_S]):
            inside = [at for at in candidates if start + ROW_S / 2 < at <= start + LONGEST_S]
            if inside:
                break
        parts.append((start, max(inside)))
        start = max(inside)
    return [*parts, (start, end)]


def _folded(parts: list[tuple[float, float]], duration_s: float) -> list[tuple[float, float]]:
    """Extend the parts by the silence around them that is shown."""
    if not parts:
        return [(0.0, min(duration_s, ROW_S))]
    stretches = []
    for index, (start, end) in enumerate(parts):
        before = start - (parts[index - 1][1] if index else 0.0)
        after = (parts[index + 1][0] if index + 1 < len(parts) else duration_s) - end
        kept_before = FOLD_KEEPS_S if before > FOLD_FROM_S else before if index == 0 else before / 2
        kept_after = FOLD_KEEPS_S if after > FOLD_FROM_S else after if index + 1 == len(parts) else after / 2
        stretches.append((start - kept_before, end + kept_after))
    return stretches


def _width(row: Sequence[tuple[float, float]]) -> float:
    folds = sum(right[0] - left[1] > 1e-6 for left, right in pairwise(row))
    return sum(end - start for start, end in row) + folds * FOLD_S


def _placed(row: Sequence[tuple[float, float]]) -> Iterable[Stretch]:
    for index, (start, end) in enumerate(row):
        yield Stretch(start, end, _width(row[: index + 1]) - (end - start))


@dataclass(frozen=True, slots=True)
class Caption:
    """The text of a turn in a row: the lines that were heard, and those that were not."""

    x: float
    heard: tuple[str, ...]
    cut: tuple[str, ...]


def captions(row: Row, turns: Sequence[Turn], letters: int) -> list[Caption]:
    """Place the texts of one side in a row, without overlap.

    Args:
        turns: turns of the side, in order.
        letters: number of letters that fit into the width of the row.
    """
    here = [(turn, *_text_in(row, turn)) for turn in turns]
    shown = [(turn, heard, cut) for turn, heard, cut in here if heard or cut]
    narrowest = row.width_s * min(MIN_SHARE, 1 / max(1, len(shown)))
    right, found = row.width_s, []
    for before, (turn, heard, cut) in reversed(list(enumerate(shown))):
        x = max(before * narrowest, min(row.x_of(turn.start_s), right - narrowest))
        width = max(8, int((right - x) / row.width_s * letters) - 1)
        lines = [tuple(textwrap.wrap(text, width)) for text in (heard, f"(not heard: {cut})" if cut else "")]
        found.append(Caption(x, *lines))
        right = x
    return found[::-1]


def _text_in(row: Row, turn: Turn) -> tuple[str, str]:
    """Return the words of a turn that belong in the row: heard, and cut off."""
    if turn.words:
        heard = " ".join(word.text.strip() for word in turn.words if row.holds(word.start_s))
    else:
        heard = turn.heard_text if row.holds(turn.start_s) else ""
    return heard, turn.cut_text if row.holds(turn.end_s) else ""
