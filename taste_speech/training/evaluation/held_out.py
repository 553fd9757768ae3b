"""What is asked and told: texts that nothing is trained on. Split `valid` serves development's choices."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from taste_speech.training.corpus.dialogues import Turn, cut_off, make_questions, make_talks, written_talks
from taste_speech.training.evaluation.scoring import pattern_of_reference

Split = Literal["valid", "test"]
TURNS = 40
_CUT_WORDS = 3
"""A turn that breaks off has at least so many."""
_EDGE = 10
"""Turns at either end of a long talk that are compared."""


@dataclass(frozen=True)
class Asked:
    """What a person says, and the answers that are right.

    Attributes:
        text: of the turn.
        accept: pattern of right answers, as `scoring.norm` writes them; None: not judged.
        kind: of question.
        block: part of a long talk.
    """

    text: str
    accept: str | None = None
    kind: str = ""
    block: str = ""


@dataclass(frozen=True)
class Everyday:
    """A question outside all dialogues, after some lines of talk."""

    asked: Asked
    before: tuple[tuple[str, str], ...] = ()
    """Role and text of earlier lines."""


@cache
def _read(name: str) -> list[Any]:
    path = Path(__file__).parent / "material" / f"{name}.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def everyday(split: Split) -> list[Everyday]:
    """Everyday questions; of `valid` those that open the written talks, judged by the words of the answer."""
    if split == "valid":
        pairs = [
            [turn.text for turn in talk.turns if turn.role != "system"][:2]
            for talk in written_talks()
            if talk.split == "valid"
        ]
        return [Everyday(Asked(ask, pattern_of_reference(ask, answer), "other")) for ask, answer in pairs]
    return [
        Everyday(
            Asked(entry["ask"], entry["accept"], entry["kind"]),
            tuple((line["role"], line["text"]) for line in entry.get("before", ())),
        )
        for entry in _read("everyday")
    ]


def our_kinds(split: Split, count: int) -> list[Asked]:
    """Questions of the kinds that were trained, in paraphrases that were not."""
    seed = {"valid": 76, "test": 77}[split]
    turns = [talk.turns[0] for talk in make_questions(count, seed, split)]
    random.Random(3).shuffle(turns)
    return [_asked(turn) for turn in turns if turn.role == "user"]


def cut_off_turns(split: Split, count: int) -> list[Asked]:
    """Turns that break off where everybody hears that more is to come."""
    rng = random.Random(f"cut {split}")
    turns = [turn for talk in make_talks(20 * count, 78, split) for turn in talk.turns]
    spoken = [t for t in turns if t.role == "user" and t.modality == "speech" and len(t.text.split()) > 4]
    cut = [cut_off([turn], rng)[0] for turn in spoken if turn.finished]
    long_enough = [turn for turn in cut if not turn.finished and len(turn.text.split()) >= _CUT_WORDS]
    return [_asked(turn) for turn in long_enough][:count]


def long_talks(split: Split) -> list[list[Asked]]:
    """Talks of 40 turns whose first and last ten are of the same difficulty over all talks."""
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


def _in_blocks(first: Sequence[Asked], middle: Sequence[Asked], last: Sequence[Asked]) -> list[Asked]:
    blocks = (("early", first), ("middle", middle), ("late", last))
    return [Asked(t.text, t.accept, t.kind, block) for block, turns in blocks for t in turns]


def remembered(split: Split) -> list[list[Asked]]:
    """Talks whose last turn asks for what was told before; only of `test`."""
    if split == "valid":
        return []
    return [[Asked(t["say"], t["accept"], talk["kind"]) for t in talk["turns"]] for talk in _read("memory")]


def unheard(split: Split) -> list[str]:
    """Sentences outside the dialogues, to be heard."""
    return [entry.asked.text for entry in everyday("valid")] if split == "valid" else list(_read("unheard"))


def sentences(split: Split, count: int) -> list[str]:
    """Sentences of more than three words to be spoken, the same ones at every call."""
    texts = [entry.asked.text for entry in everyday(split)] + unheard(split)
    texts += [turn.text for talk in (*long_talks(split), *remembered(split)) for turn in talk]
    found = [text for text in dict.fromkeys(texts) if len(text.split()) > 3]
    random.Random(5).shuffle(found)
    return found[:count]


def spoken_forms() -> list[tuple[str, list[str]]]:
    """Texts with numbers, times, money and signs, and how a person may read each of them."""
    return [(entry["text"], entry["accept"]) for entry in _read("spoken_forms")]


def _asked(turn: Turn) -> Asked:
    return Asked(turn.text, turn.accepted_pattern or None, turn.kind)
