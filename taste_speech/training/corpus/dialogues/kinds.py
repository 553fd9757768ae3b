"""Kinds of question with their answers, and what else steers a talk: control words, manners, memories."""

import hashlib
import re
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from taste_speech.errors import TasteError
from taste_speech.training.corpus.dialogues.grammar import (
    COURSE,
    WORDS,
    as_heard,
    expand,
    fill,
    read_yaml,
    sentence,
    slots_of,
)
from taste_speech.training.corpus.dialogues.tables import TABLES, Row

TEST_SHARE = 0.15
VALID_SHARE = 0.05
POLITE, OPENERS = frozenset(WORDS["polite"].split()), frozenset(WORDS["openers"].split())
FOR_TRAINING = Path(__file__).parent / "training_only"
NO_SLOTS: tuple[Row, ...] = ({},)


@dataclass(frozen=True)
class Kind:
    """One kind of question. Paraphrases and answers may hold slots in braces that a row of `rows` fills."""

    name: str
    topic: str
    ask: tuple[str, ...]
    say: str
    rows: tuple[Row, ...] = NO_SLOTS
    accept: str = ""
    """Regular expression; the slots in it stand for their values."""
    follow: tuple[str, ...] = ()
    """Ways of asking the same about another row, right after."""
    brief: str = ""
    """The shortest right answer, for people who want it short."""
    weight: float = 1.0
    plain: bool = False
    """Asked without words of politeness around it."""
    splits: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    held_out: frozenset[str] = field(default_factory=frozenset, repr=False, compare=False)
    """The `core` of each paraphrase that is not for training."""

    def paraphrases(self, split: str, follow: bool = False) -> list[str]:
        """Return the templates of `train`, `valid` or `test`; the splits share none."""
        return [t for t in (self.follow if follow else self.ask) if self.splits[t] == split]

    def question(self, template: str, row: Row) -> str:
        """Return a paraphrase with the facts of `row`, without a capital and a period."""
        return fill(template, dict(row))

    def answer(self, row: Row, brief: bool = False) -> str:
        """Return the answer for `row`, as a sentence."""
        return sentence(fill(self.brief if brief and self.brief else self.say, dict(row)))

    def accepted(self, row: Row) -> str:
        """Return the regular expression that a right answer for `row` matches, in the form of `as_heard`."""
        heard = {name: re.escape(as_heard(value)).replace(r"\ ", " ") for name, value in row.items()}
        return rf"\b(?:{fill(self.accept, heard)})\b"

    def is_right(self, row: Row, answer: str) -> bool:
        """Return whether `answer` is right for `row`."""
        return re.search(self.accepted(row), as_heard(answer)) is not None


def core(template: str, empty: frozenset[str] = POLITE) -> str:
    """Return a paraphrase without words of politeness at its ends."""
    words = as_heard(re.sub(r"\{\w+\}", "slot", template)).split()
    while words and words[0] in empty:
        words = words[1:]
    while words and words[-1] in empty:
        words = words[:-1]
    return " ".join(words)


def fixed_splits(name: str, templates: tuple[str, ...]) -> dict[str, str]:
    """Divide the paraphrases of a kind by hash: of five or more, 15 % (at least one) are test, 5 % valid.

    Paraphrases that differ only in politeness share a split.
    """
    cores = {core(t) for t in templates}
    order = sorted(cores, key=lambda c: hashlib.sha256(f"{name}:{c}".encode()).digest())
    n_test = max(1, round(TEST_SHARE * len(order))) if len(order) >= 5 else 0
    n_valid = max(1, round(VALID_SHARE * len(order))) if len(order) >= 8 else 0
    split = {
        c: "test" if i < n_test else "valid" if i < n_test + n_valid else "train" for i, c in enumerate(order)
    }
    return {t: split[core(t)] for t in templates}


def follow_splits(templates: tuple[str, ...]) -> dict[str, str]:
    """Keep one way to follow up, "how about ...", for the test; the kinds share these ways."""
    return {t: "test" if t.startswith("how about") else "train" for t in templates}


def make_kind(name: str, topic: str, ask: list[str], say: str, **more: Any) -> Kind:
    """Build a kind: expand the brackets, fix the splits and derive the accepted pattern where none is given.

    Raises:
        TasteError: a kind without anything to accept, or with slots that the rows lack.
    """
    questions = tuple(dict.fromkeys(e for template in ask for e in expand(template)))
    follow = tuple(dict.fromkeys(e for template in more.pop("follow", ()) for e in expand(template)))
    rows: tuple[Row, ...] = tuple(more.pop("rows", NO_SLOTS))
    answer_slots = sorted(slot for slot in slots_of(say) if not all(slot in slots_of(q) for q in questions))
    accept = more.pop("accept", "") or ".*".join(f"{{{slot}}}" for slot in answer_slots)
    unknown = {s for t in (*questions, *follow, say, accept) for s in slots_of(t)} - set(rows[0])
    if not accept or unknown:
        problem = f"slots {sorted(unknown)} without values" if unknown else "no accepted answer"
        raise TasteError(f"kind {name!r} of {topic} has {problem}; complete its entry")
    splits = fixed_splits(more.pop("split_name", name), questions) | follow_splits(follow)
    held_out = frozenset(core(t) for t, split in splits.items() if split != "train")
    return Kind(name, topic, questions, say, rows, accept, follow, splits=splits, held_out=held_out, **more)


def with_training_paraphrases(
    kind: Kind, templates: list[str], elsewhere: frozenset[str] = frozenset()
) -> Kind:
    """Return the kind with more ways of asking, in brackets' notation, all in split `train`.

    The splits of the others stay. What is held out, but for an opening or words of politeness, is left out,
    and what is held out of another kind: `elsewhere`, as `core` writes it.

    Raises:
        TasteError: a slot that the rows lack.
    """
    more = [t for template in templates for t in expand(template)]
    held_out = {_bare(t) for t, split in kind.splits.items() if split != "train"}
    new = [t for t in dict.fromkeys(more) if t not in kind.splits]
    more = [t for t in new if _bare(t) not in held_out and core(t) not in elsewhere]
    unknown = {slot for t in more for slot in slots_of(t)} - set(kind.rows[0])
    if unknown:
        raise TasteError(f"kind {kind.name!r} has slots {sorted(unknown)} without values; complete its entry")
    # A training paraphrase that "tell me" or the like makes of a held-out one would give that away.
    kept = [t for t in kind.ask if kind.splits[t] != "train" or _bare(t) not in held_out]
    splits = kind.splits | dict.fromkeys(more, "train")
    return replace(kind, ask=(*kept, *more), splits=splits)


def _bare(template: str) -> str:
    """Return `core` without the words that may open any question."""
    return core(template, POLITE | OPENERS).removeprefix("tell me ")


def _rows(text: str) -> tuple[Row, ...]:
    """Read a small table: the first line names the slots, values are divided by semicolons."""
    header, *lines = [[cell.strip() for cell in line.split(";")] for line in text.strip().splitlines()]
    for line in lines:
        if len(line) != len(header):
            raise TasteError(f"row {'; '.join(line)!r} has {len(line)} values; {len(header)} are wanted")
    return tuple(dict(zip(header, line, strict=True)) for line in lines)


def load_kinds(path: Path) -> list[Kind]:
    """Read the kinds of one yaml file; its stem is their topic."""
    kinds = []
    for name, entry in read_yaml(path).items():
        if "rows" in entry:
            entry["rows"] = _rows(entry["rows"])
        if "computed" in entry:
            entry["rows"] = TABLES[entry.pop("computed")]()
        kinds.append(make_kind(name, path.stem, **entry))
    return kinds


@cache
def all_kinds() -> tuple[Kind, ...]:
    """Return every kind: those of the yaml files beside this module."""
    paths = sorted(Path(__file__).parent.glob("*.yaml"))
    kinds = {kind.name: kind for path in paths for kind in load_kinds(path)}
    held_out = frozenset[str]().union(*(kind.held_out for kind in kinds.values()))
    more: dict[str, list[str]] = {name: [] for name in kinds}
    for path in sorted(FOR_TRAINING.glob("*.yaml")):
        for name, templates in read_yaml(path).items():
            more[name] += templates
    return tuple(with_training_paraphrases(kinds[name], more[name], held_out) for name in kinds)


CONTROL: dict[str, Kind] = {
    name: make_kind(name, "control", plain=True, **entry)
    for name, entry in read_yaml(COURSE / "control.yaml").items()
}


@dataclass(frozen=True)
class Manner:
    """A manner of answering: the system sentences that set it, and what it changes."""

    style: str = ""
    system: tuple[str, ...] = ()
    before: str = ""

    def dress(self, text: str) -> str:
        """Return an answer in this manner."""
        return f"{self.before} {text}" if self.before and len(text.split()) <= 12 else text


MANNERS = tuple(Manner(**entry) for entry in read_yaml(COURSE / "manners.yaml"))


@dataclass(frozen=True)
class Memory:
    """A thing to remember: how it is told, how it is asked for, and what to say when it was never told."""

    name: str
    tell: Kind
    recall: Kind
    unknown: Kind


def _memory(name: str, values: str, tell: list[str], told: str, ask: list[str], recalled: str) -> Memory:
    about = {"rows": [{"value": value} for value in values.split(", ")], "accept": "{value}"}
    missing = f"You have not told me your {name.replace('_', ' ')} yet."
    return Memory(
        name,
        make_kind(f"tell_{name}", "memory", tell, told, plain=True, **about),
        make_kind(f"recall_{name}", "memory", ask, recalled, split_name=name, **about),
        make_kind(f"unknown_{name}", "memory", ask, missing, accept="not told me", split_name=name),
    )


MEMORIES = tuple(_memory(name, **entry) for name, entry in read_yaml(COURSE / "memories.yaml").items())
