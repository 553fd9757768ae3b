import numpy as np
import pytest

from taste_speech.training.evaluation.bench import HeardWord
from taste_speech.training.evaluation.sounds import Clip
from taste_speech.training.evaluation.streaming import (
    Pieces,
    chunk_sizes,
    compare,
    edges,
    is_displaced,
    seam_rows,
    small_chunk_sizes,
    speak_in_chunks,
    synthesize_both_ways,
    word_end_errors,
    word_end_rows,
)
from taste_speech.training.evaluation.subjects import Mouth, TasteMind

TEXT = "the train leaves at half past nine, i think that we could walk."


@pytest.fixture
def mouth(tiny_model, tiny_processor):
    return Mouth(TasteMind(tiny_model, tiny_processor))


@pytest.fixture
def streamed(mouth):
    noise = 0.1 * np.random.default_rng(0).standard_normal(32000).astype(np.float32)
    return speak_in_chunks(mouth, Clip(TEXT, noise, "natural"))


def test_chunks_are_those_of_the_agent():
    assert list(chunk_sizes(40)) == [2, 4, 8, 12, 12, 2]
    assert list(chunk_sizes(1)) == [1]
    assert list(chunk_sizes(6)) == [2, 4]


def test_small_chunks_have_two_words_each():
    assert list(small_chunk_sizes(5)) == [2, 2, 1]


def test_a_streamed_sentence_has_its_units_sound_and_word_ends(streamed):
    assert len(streamed.chunks) == 3
    assert len(streamed.word_ends_s) == len(TEXT.split())
    assert streamed.word_ends_s == sorted(streamed.word_ends_s)
    units = sum(len(chunk) for chunk in streamed.chunks)
    assert len(streamed.samples) / 16000 == pytest.approx(units / 50, abs=0.02)


def test_both_ways_have_the_same_length_and_sound_alike(mouth, streamed):
    pieces = synthesize_both_ways(mouth, streamed.chunks)
    assert len(pieces.whole) == len(pieces.joined)
    assert len(pieces.seams) == 2
    held = [units - 4 for units in np.cumsum([len(chunk) for chunk in streamed.chunks])[:2]]
    assert pieces.seams == [unit * 320 // 256 * 256 for unit in held]
    assert np.corrcoef(pieces.whole, pieces.joined)[0, 1] > 0.5


def tone(samples):
    return np.sin(2 * np.pi * 200 * np.arange(samples) / 16000).astype(np.float32)


def test_steps_at_seams_are_told_from_those_inside():
    joined = np.concatenate([tone(1600), tone(1600) + 0.5])
    flat = np.zeros((2, 12), np.float32)
    different = flat.copy()
    different[:, 6] = 3.0
    found = compare(Pieces(joined, joined, [1600]), (flat, different), 256)
    assert (found["seams"], found["high"], found["length"]) == (1, 1, 0)
    assert found["largest"] > 5
    # 1600 / 256 = 6.25: frames 5 to 7, whose middles are less than two frames away, and 4.
    assert (len(found["near"]), max(found["near"]), found["elsewhere"]) == (4, 3, 0)


def moving(frames):
    return np.random.default_rng(1).standard_normal((8, frames)).cumsum(1).astype(np.float32)


@pytest.mark.parametrize(("shift", "expected"), [(0, False), (1, True), (-3, True)])
def test_sound_that_was_dropped_or_doubled_is_found(shift, expected):
    whole = moving(80)
    noise = 0.1 * np.random.default_rng(2).standard_normal(whole.shape).astype(np.float32)
    assert is_displaced(whole, np.roll(whole, shift, axis=1) + noise, 20, 60) is expected


def test_rows_on_seams():
    quiet = {
        "seams": 2,
        "high": 0,
        "largest": 0.2,
        "near": [0.3] * 4,
        "elsewhere": 0.2,
        "length": 0,
        "moved": 0,
    }
    loud = quiet | {"high": 2, "largest": 1.5, "length": 0.04, "moved": 1}
    high, largest, mel, near, length, moved = seam_rows([quiet, loud])
    assert (high.value, high.reached, high.count) == (50, False, 4)
    assert largest.value == pytest.approx(1.5)
    assert (mel.value, mel.reached) == (pytest.approx(1.5), True)
    assert (near.value, near.reached) == (pytest.approx(0.3 * 8.686, rel=1e-3), None)
    assert (length.value, length.reached) == (pytest.approx(4), False)
    assert (moved.value, moved.reached) == (1, False)
    assert all(row.reached is not False for row in seam_rows([quiet]))
    assert seam_rows([quiet | {"seams": 0}]) == []


def test_word_ends_are_compared_where_the_judge_heard_the_same_words():
    heard = [HeardWord("Twenty-one", 0.45), HeardWord("trains.", 1.2)]
    assert word_end_errors("Twenty-one trains", heard, [0.5, 1.0]) == pytest.approx([0.05])
    assert word_end_errors("Twenty-two trains", heard, [0.5, 1.0]) is None
    assert word_end_errors("Twenty-one trains", heard, [0.5]) is None


def test_rows_on_word_ends_leave_out_what_the_judge_itself_is_late():
    natural = [[0.02, 0.02, 0.02, 0.2], None]
    exact, close, late = word_end_rows([[0.07, -0.2, 0.12], None, [0.02]], natural)
    assert (exact.value, exact.target) == (pytest.approx(200 / 3), None)
    assert (close.value, close.reached, close.count, close.natural) == (75, True, 4, 75)
    assert late.value == pytest.approx(25)
    assert len(word_end_rows([None], natural)) == 1


def test_the_levels_at_both_ends_are_those_of_ten_milliseconds():
    sound = np.zeros(16000, np.float32)
    sound[-160:] = 0.1
    assert edges(sound) == pytest.approx([0, 0.1])
