"""Counts that describe a set of talks."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from taste_speech.training.corpus.dialogues.grammar import as_heard
from taste_speech.training.corpus.dialogues.talks import Talk

LONG_ANSWER_WORDS = 40


@dataclass(frozen=True)
class Statistics:
    """How much and how varied the text is."""

    n_talks: int
    n_turns: int
    n_kinds: int
    n_user_sentences: int
    """Distinct, as a recogniser writes them."""
    n_answers: int
    """Distinct."""
    n_words: int
    """Distinct words of all turns."""
    n_unfinished: int
    n_interrupted: int
    n_long_answers: int
    """Answers of at least 40 words."""


def statistics(talks: Iterable[Talk]) -> Statistics:
    """Count what the talks hold."""
    talks = list(talks)
    turns = [turn for talk in talks for turn in talk.turns]
    answers = [turn for turn in turns if turn.role == "assistant"]
    words = Counter(word for turn in turns for word in as_heard(turn.text).split())
    return Statistics(
        n_talks=len(talks),
        n_turns=len(turns),
        n_kinds=len({turn.kind for turn in turns if turn.kind}),
        n_user_sentences=len({as_heard(turn.text) for turn in turns if turn.role == "user"}),
        n_answers=len({turn.text for turn in answers}),
        n_words=len(words),
        n_unfinished=sum(not turn.finished for turn in turns),
        n_interrupted=sum(turn.cut_at_word is not None for turn in turns),
        n_long_answers=sum(len(turn.text.split()) >= LONG_ANSWER_WORDS for turn in answers),
    )
