"""Dialogue text written for this project: kinds of question with their answers, and talks made of them."""

from taste_speech.training.corpus.dialogues.kinds import Kind, all_kinds
from taste_speech.training.corpus.dialogues.talks import Talk, Turn, as_heard, make_questions, make_talks

__all__ = ["Kind", "Talk", "Turn", "all_kinds", "as_heard", "make_questions", "make_talks"]
