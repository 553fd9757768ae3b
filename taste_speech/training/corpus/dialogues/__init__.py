"""Dialogue text written for this project: kinds of question with their answers, and talks made of them."""

from taste_speech.training.corpus.dialogues.conversation import (
    asked_again,
    make_pairs,
    make_questions,
    make_talks,
)
from taste_speech.training.corpus.dialogues.grammar import as_heard, read_yaml
from taste_speech.training.corpus.dialogues.heard import (
    ASSENTS,
    HANGING,
    MURMURS,
    as_recognized,
    cut_off,
    murmured,
)
from taste_speech.training.corpus.dialogues.kinds import CONTROL, Kind, all_kinds
from taste_speech.training.corpus.dialogues.turns import Talk, Turn, written_talks

__all__ = [
    "ASSENTS",
    "CONTROL",
    "HANGING",
    "MURMURS",
    "Kind",
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
