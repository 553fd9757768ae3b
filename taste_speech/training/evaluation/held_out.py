"""Texts and voices of the evaluation, on which nothing is trained; split `valid` is for development."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from taste_speech.streaming.segment import Role
from taste_speech.training.corpus.dialogues.conversation import make_questions, make_talks
from taste_speech.training.corpus.dialogues.kinds import read_yaml
from taste_speech.training.corpus.dialogues.turns import Turn, cut_off, written_talks
from taste_speech.training.corpus.listeners import DEVELOPMENT_VOICES, HELD_OUT_VOICES
from taste_speech.training.evaluation.scoring import pattern_of_reference

Split = Literal["valid", "test"]
VOICES: dict[Split, tuple[str, ...]] = {"valid": DEVELOPMENT_VOICES, "test": HELD_OUT_VOICES}
TURNS = 40
_MIN_CUT_WORDS = 3
_EDGE = 10
"""Number of turns that are compared at either end of a long talk."""


@dataclass(frozen=True)
class Asked:
    """What a person says, and the answers that are right.

    Attributes:
        accept: pattern of right answers, in the form of `scoring.norm`; None: not judged.
        kind: kind of question.
        block: part of a long talk.
        before: role and text of earlier lines.
    """

    text: str
    accept: str | None = None
    kind: str = ""
    block: str = ""
    before: tuple[tuple[Role, str], ...] = ()


@cache
def _read(name: str) -> list[Any]:
    return read_yaml(Path(__file__).parent / "material" / f"{name}.yaml")


def everyday(split: Split) -> list[Asked]:
    """Return everyday questions; for `valid`, those that open written talks, judged by their answers."""
    if split == "valid":
        talks = [talk for talk in written_talks() if talk.split == "valid"]
        pairs = [[turn.text for turn in talk.turns if turn.role != "system"][:2] for talk in talks]
        return [Asked(ask, pattern_of_reference(ask, answer), "other") for ask, answer in pairs]
    return [
        Asked(
            entry["ask"],
            entry["accept"],
            entry["kind"],
            before=tuple((line["role"], line["text"]) for line in entry.get("before", ())),
        )
        for entry in _read("everyday")
    ]


def our_kinds(split: Split, count: int) -> list[Asked]:
    """Return questions of the kinds in the training data, in paraphrases that are not."""
    seed = {"valid": 76, "test": 77}[split]
    turns = [talk.turns[0] for talk in make_questions(count, seed, split)]
    random.Random(3).shuffle(turns)
    return [_asked(turn) for turn in turns if turn.role == "user"]


def cut_off_turns(split: Split, count: int) -> list[Asked]:
    """Return turns that break off where everybody hears that more is to come."""
    rng = random.Random(f"cut {split}")
    turns = [turn for talk in make_talks(20 * count, 78, split) for turn in talk.turns]
    spoken = [t for t in turns if t.role == "user" and t.modality == "speech" and len(t.text.split()) > 4]
    cut = [cut_off([turn], rng)[0] for turn in spoken if turn.finished]
    long_enough = [turn for turn in cut if not turn.finished and len(turn.text.split()) >= _MIN_CUT_WORDS]
    return [_asked(turn) for turn in long_enough][:count]


def long_talks(split: Split) -> list[list[Asked]]:
    """Return talks of 40 turns; over all talks, the first ten turns and the last ten are the same."""
    if split == "test":
        return [
            [Asked(t["say"], t["accept"], t["kind"], t["block"]) for t in talk["turns"]]
            for talk in _read("talks40")
        ]
    talks = []
    for number in range(2):
        turns = [_asked(talk.turns[0]) for talk in make_questions(TURNS, 80 + number, "valid")]
        first, middle, last = turns[:_EDGE], turns[_EDGE:-_EDGE], turns[-_EDGE:]
        talks += [_in_blocks(first, middle, last), _in_blocks(last, middle, first)]
    return talks


def _in_blocks(*blocks: Sequence[Asked]) -> list[Asked]:
    named = zip(("early", "middle", "late"), blocks, strict=True)
    return [replace(turn, block=name) for name, turns in named for turn in turns]


def remembered(split: Split) -> list[list[Asked]]:
    """Return talks whose last turn asks for what was told before; none for `valid`."""
    if split == "valid":
        return []
    return [[Asked(t["say"], t["accept"], talk["kind"]) for t in talk["turns"]] for talk in _read("memory")]


def unheard(split: Split) -> list[str]:
    """Return sentences outside the dialogues, to be recognized."""
    return [turn.text for turn in everyday("valid")] if split == "valid" else list(_read("unheard"))


def sentences(split: Split, count: int) -> list[str]:
    """Return sentences of more than three words to be spoken, the same ones at every call."""
    texts = [turn.text for turn in everyday(split)] + unheard(split)
    texts += [turn.text for talk in (*long_talks(split), *remembered(split)) for turn in talk]
    found = [text for text in dict.fromkeys(texts) if len(text.split()) > 3]
    random.Random(5).shuffle(found)
    return found[:count]


def spoken_forms() -> list[tuple[str, list[str]]]:
    """Return texts with numbers, times, money and symbols, and all ways a person may read each of them."""
    return [(entry["text"], entry["accept"]) for entry in _read("spoken_forms")]


def _asked(turn: Turn) -> Asked:
    return Asked(turn.text, turn.accepted_pattern or None, turn.kind)
