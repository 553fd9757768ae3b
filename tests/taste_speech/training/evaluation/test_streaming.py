import numpy as np
import pytest

from taste_speech.recognition.base import RecognizedWord
from taste_speech.training.evaluation.material import Spoken
from taste_speech.training.evaluation.streaming import (
    Pieces,
    Seams,
    Streamed,
    chunk_sizes,
    compare,
    edge_rows,
    is_displaced,
    seam_rows,
    small_chunk_sizes,
    speak_in_chunks,
    synthesise_both_ways,
    word_end_errors,
    word_end_rows,
)

TEXT = "the train leaves at half past nine, i think that we could walk."


@pytest.fixture
def sentence():
    rng = np.random.default_rng(0)
    return Spoken(TEXT, 0.1 * rng.standard_normal(32000).astype(np.float32), "ada")


@pytest.fixture
def streamed(tiny_model, tiny_processor, sentence):
    return speak_in_chunks(tiny_model, tiny_processor, tiny_processor.voices()["ada"], sentence)


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


def test_both_ways_have_the_same_length_and_sound_alike(tiny_model, tiny_processor, streamed):
    speaker = tiny_processor.voices()["ada"]
    pieces = synthesise_both_ways(tiny_model, tiny_processor, speaker, streamed.chunks)
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
    assert found.jumps == pytest.approx([0.5], abs=0.1)
    assert len(found.steps) == 3198
    assert found.steps.max() < 0.1
    # 1600 / 256 = 6.25: frames 5 to 7, whose middles are less than two frames away, and 4.
    assert (len(found.near), len(found.elsewhere)) == (4, 8)
    assert (found.near.max(), found.elsewhere.max()) == (3, 0)


def moving(frames):
    return np.random.default_rng(1).standard_normal((8, frames)).cumsum(1).astype(np.float32)


@pytest.mark.parametrize(("shift", "expected"), [(0, False), (1, True), (-3, True)])
def test_sound_that_was_dropped_or_doubled_is_found(shift, expected):
    whole = moving(80)
    noise = 0.1 * np.random.default_rng(2).standard_normal(whole.shape).astype(np.float32)
    assert is_displaced(whole, np.roll(whole, shift, axis=1) + noise, 20, 60) is expected


def test_rows_on_seams():
    steps = np.linspace(0, 1, 1001).astype(np.float32)
    near, far = np.full(4, 0.3, np.float32), np.full(90, 0.2, np.float32)
    quiet = Seams(np.array([0.1, 0.2], np.float32), steps, near, far, 0)
    loud = Seams(np.array([1.5, 0.9995], np.float32), steps, near, far, 1)
    high, largest, mel, length, moved = seam_rows([quiet, loud], [(1000, 1000), (1000, 960)])
    assert (high.value, high.reached, high.count) == (50, False, 4)
    assert largest.value == pytest.approx(1.5)
    assert (mel.value, mel.reached) == (pytest.approx(1.5), True)
    assert (length.value, length.reached) == (pytest.approx(4), False)
    assert (moved.value, moved.reached) == (1, False)
    assert all(row.reached for row in seam_rows([quiet], [(1000, 1000)]))
    assert seam_rows([Seams(steps[:0], steps, near[:0], far, 0)], [(1000, 1000)]) == []


class Aligner:
    def __init__(self, ends):
        self.ends = ends

    def align(self, samples, text):
        return self.ends and [RecognizedWord("word", end - 0.1, end) for end in self.ends]


def test_errors_of_word_ends_count_words_as_they_are_written():
    sentence = Spoken("Twenty-one - trains.", np.zeros(0, np.float32), "x")
    streamed = Streamed(np.zeros(16000, np.float32), [0.5, 0.55, 1.0], [])
    errors = word_end_errors(Aligner([0.2, 0.45, 1.2]), sentence, streamed)
    assert errors == pytest.approx([0.05, -0.2])
    assert word_end_errors(Aligner([0.2, 0.45]), sentence, streamed) is None
    assert word_end_errors(Aligner(None), sentence, streamed) is None


def test_rows_on_word_ends():
    aligned, close, late = word_end_rows([[0.05, -0.2, 0.1], None, [0.0]])
    assert (aligned.value, aligned.target) == (pytest.approx(200 / 3), None)
    assert (close.value, close.reached, close.count) == (75, False, 4)
    assert late.value == pytest.approx(25)
    assert len(word_end_rows([None])) == 1


def test_utterances_that_are_cut_at_their_edges_are_counted():
    loud, silent = np.full(160, 0.1, np.float32), np.zeros(160, np.float32)
    sounds = [np.concatenate(parts) for parts in ((silent, loud, silent), (loud, silent), (silent, loud))]
    first, last = edge_rows([*sounds, np.concatenate((silent, loud))])
    assert (first.value, last.value) == (25, 50)
