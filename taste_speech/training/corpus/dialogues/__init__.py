"""Dialogue text written for this project: kinds of questions with their answers, and talks made of them."""

from taste_speech.training.corpus.dialogues.conversation import (
    asked_again,
    make_pairs,
    make_questions,
    make_talks,
)
from taste_speech.training.corpus.dialogues.kinds import CONTROL, all_kinds, as_heard, read_yaml
from taste_speech.training.corpus.dialogues.turns import (
    HANGING,
    Talk,
    Turn,
    as_recognized,
    cut_off,
    murmured,
    written_talks,
)

__all__ = [
    "CONTROL",
    "HANGING",
    "Talk",
    "Turn",
    "all_kinds",
    "as_heard",
    "as_recognized",
    "asked_again",
    "cut_off",
    "make_pairs",
    "make_questions",
    "make_talks",
    "murmured",
    "read_yaml",
    "written_talks",
]
