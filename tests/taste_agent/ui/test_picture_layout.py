"""Rows, folds and texts of the picture, as numbers."""

from itertools import pairwise

import pytest

from taste_agent.session.transcript import TranscriptWord, Turn
from taste_agent.ui.picture_layout import FOLD_KEEPS_S, FOLD_S, LONGEST_S, ROW_S, captions, rows_of


def turn(role: str, start_s: float, end_s: float, text: str = "well", cut: str = "") -> Turn:
    said = text.split()
    each = (end_s - start_s) / len(said)
    words = [
        TranscriptWord(word, start_s + i * each, start_s + (i + 1) * each) for i, word in enumerate(said)
    ]
    return Turn(role, 1, text, start_s, end_s, heard_text=text, cut_text=cut, words=words)


def laid_out(turns, duration_s):
    return rows_of(duration_s, [(turn.start_s, turn.end_s) for turn in turns], turns)


def exchanges(count: int, pause_s: float = 1.0) -> list[Turn]:
    """Questions of 2 s with answers of 5 s."""
    starts = [1 + i * (7 + pause_s) for i in range(count)]
    return [t for at in starts for t in (turn("user", at, at + 2), turn("assistant", at + 2, at + 7))]


def test_rows_break_between_turns():
    turns = exchanges(9)
    rows = laid_out(turns, 73.0)
    assert len(rows) > 3
    edges = [row.stretches[0].start_s for row in rows[1:]]
    assert all(not (turn.start_s < edge < turn.end_s) for turn in turns for edge in edges)
    assert [row.width_s for row in rows] == [ROW_S] * len(rows)


def test_long_silences_are_folded_and_short_ones_are_not():
    turns = [turn("user", 30.0, 31.0), turn("assistant", 33.0, 34.0), turn("user", 300.0, 301.0)]
    (row,) = laid_out(turns, 3600.0)
    assert [(s.start_s, s.end_s) for s in row.stretches] == [
        (30.0 - FOLD_KEEPS_S, 32.0),
        (32.0, 34.0 + FOLD_KEEPS_S),
        (300.0 - FOLD_KEEPS_S, 301.0 + FOLD_KEEPS_S),
    ]
    first, second, third = row.stretches
    assert (first.x, second.x) == (0.0, pytest.approx(2.0 + FOLD_KEEPS_S))
    assert third.x == pytest.approx(4.0 + 2 * FOLD_KEEPS_S + FOLD_S)
    assert row.x_of(300.0) == pytest.approx(third.x + FOLD_KEEPS_S)


def test_a_reply_longer_than_a_row_stays_whole_while_that_can_be():
    row = laid_out([turn("user", 0.0, 2.0), turn("assistant", 2.0, 36.0)], 36.0)[0]
    assert row.width_s == 36.0


def test_what_is_too_long_is_cut_between_words():
    story = turn("assistant", 0.0, 150.0, " ".join(["once"] * 300))
    rows = laid_out([story], 150.0)
    assert all(row.width_s <= LONGEST_S for row in rows)
    starts = {word.start_s for word in story.words}
    assert all(row.stretches[0].start_s in starts for row in rows)
    shown = [line for row in rows for text in captions(row, [story], 200) for line in text.heard]
    assert " ".join(shown).split() == ["once"] * 300


def test_texts_are_whole_and_do_not_lie_on_each_other():
    said = "tell me a rather long story about the sea and the boats on it"
    turns = [turn("user", 1.0 + i, 1.4 + i, f"{said} {i}") for i in range(6)]
    turns.append(turn("user", 19.5, 19.9, said, cut="and what comes after it"))
    (row,) = laid_out(turns, 20.0)
    texts = captions(row, turns, 200)
    assert [" ".join(text.heard) for text in texts] == [t.heard_text for t in turns]
    assert " ".join(texts[-1].cut) == "(not heard: and what comes after it)"
    for left, right in pairwise([*texts, None]):
        end = row.width_s if right is None else right.x
        assert max(map(len, left.heard)) <= (end - left.x) / row.width_s * 200


def test_a_session_without_a_word_is_one_row():
    (row,) = laid_out([], 3600.0)
    assert row.width_s == ROW_S
