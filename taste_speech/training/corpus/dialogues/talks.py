"""Talks of several turns, drawn by seed from the kinds of question."""

import random
from dataclasses import dataclass

from taste_speech.training.corpus.dialogues.conversation import TalkWriter
from taste_speech.training.corpus.dialogues.grammar import as_heard
from taste_speech.training.corpus.dialogues.kinds import all_kinds
from taste_speech.training.corpus.dialogues.turns import Turn

__all__ = ["Talk", "Turn", "as_heard", "make_questions", "make_talks"]
SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Talk:
    """One conversation."""

    id: str
    split: str
    turns: tuple[Turn, ...]


def make_talks(n: int, seed: int, split: str) -> list[Talk]:
    """Return `n` talks whose user turns use only the paraphrases of `split`.

    Errors: `ValueError` for an unknown split.
    """
    if split not in SPLITS:
        raise ValueError(f"split {split!r} is unknown; use one of {', '.join(SPLITS)}")
    rng = random.Random(f"{split}-{seed}")
    return [Talk(f"{split}-{seed}-{i:06d}", split, tuple(TalkWriter(split, rng).write())) for i in range(n)]


def make_questions(n: int, seed: int, split: str) -> list[Talk]:
    """Return `n` talks of one question and its answer, without a system segment, the kinds in turn.

    Errors: `ValueError` for an unknown split.
    """
    if split not in SPLITS:
        raise ValueError(f"split {split!r} is unknown; use one of {', '.join(SPLITS)}")
    rng = random.Random(f"questions-{split}-{seed}")
    kinds = [kind for kind in all_kinds() if kind.paraphrases(split)]
    talks: list[Talk] = []
    while len(talks) < n:
        rng.shuffle(kinds)
        for kind in kinds[: n - len(talks)]:
            turns = TalkWriter(split, rng).single(kind)
            talks.append(Talk(f"question-{split}-{seed}-{len(talks):06d}", split, tuple(turns)))
    return talks
