from types import SimpleNamespace

import numpy as np
import pytest

from taste_speech.recognition.base import Recognition
from taste_speech.training.evaluation import listening
from taste_speech.training.evaluation.held_out import Asked
from taste_speech.training.evaluation.subjects import TasteMind


class Counting:
    """Hears one word for each second."""

    def start(self):
        self.samples = 0

    def accept(self, samples):
        assert len(samples) <= listening.BLOCK_SAMPLES
        self.samples += len(samples)

    def finish(self):
        return Recognition(" ".join(["yes"] * (self.samples // 16_000)))


def test_a_sound_is_heard_block_by_block():
    assert listening.hear(Counting(), np.zeros(40_000, np.float32)) == "yes yes"


def test_what_was_not_heard_is_not_answered(tiny_model, tiny_processor):
    mind = TasteMind(tiny_model, tiny_processor)
    sound = 0.1 * np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    assert listening.answer_to_sound(mind, sound, " ") == ""
    assert listening.answer_to_sound(mind, sound, "what time is it")


def test_rows_tell_kinds_others_and_cut_off_turns_apart():
    asked = {
        "what is it": Asked("what is it", r"\btea\b", block=listening.OURS),
        "the red cat": Asked("the red cat", block=listening.OTHERS),
        "what is the": Asked("what is the", block=listening.CUT),
    }
    found = [
        {"text": "what is it", "partial": "what is", "heard": "what is it", "answer": "It is tea."},
        {"text": "the red cat", "partial": "the", "heard": "the bed cat", "answer": ""},
        {"text": "what is the", "heard": "what is the", "answer": "Well."},
    ]
    rows = listening.heard_rows(asked, found, "", noisy=False)
    assert [row.value for row in rows] == pytest.approx([100 / 6, 100 / 3, -200 / 6, 100, 50, 0])
    assert [row.count for row in rows] == [2, 1, 2, 1, 2, 1]


def test_questions_are_of_each_block_in_turn():
    asked = list(listening.questions(SimpleNamespace(split="valid", questions=6)).values())
    assert [turn.block for turn in asked[:4]] == [
        listening.OURS,
        listening.OTHERS,
        listening.CUT,
        listening.OURS,
    ]
    assert all(turn.text.endswith(",") == (turn.block == listening.CUT) for turn in asked)
