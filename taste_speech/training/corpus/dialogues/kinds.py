"""Kinds of questions with their answers, and what else shapes a talk: control words, styles and memories.

Paraphrases are written as `(what is|tell me) the capital of {country}`: alternatives in parentheses, slots in
braces. The text is in the YAML files beside this module.
"""

import hashlib
import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml
from num2words import num2words

from taste_speech.errors import TasteError

FOLDER = Path(__file__).parent
TEST_SHARE, VALID_SHARE = 0.15, 0.05
Row = dict[str, str]
# The C loader is ten times as fast; not every build of PyYAML has it.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)


WORDS: dict[str, Any] = read_yaml(FOLDER / "course" / "words.yaml")
"""Words around questions, and in murmurs."""
_QUESTION_STARTS = frozenset(WORDS["question_starts"].split())
_POLITE, _OPENERS = frozenset(WORDS["polite"].split()), frozenset(WORDS["openers"].split())


def expand(template: str) -> list[str]:
    """Return every sentence that the alternatives allow; slots stay.

    Raises:
        TasteError: a parenthesis is not closed.
    """
    pieces = re.split(r"\(([^()]*)\)", template)
    if "(" in "".join(pieces[::2]) or ")" in "".join(pieces[::2]):
        raise TasteError(f"the parentheses of {template!r} do not match; write (one|other), without nesting")
    choices = [piece.split("|") if i % 2 else [piece] for i, piece in enumerate(pieces)]
    return [" ".join("".join(parts).split()) for parts in itertools.product(*choices)]


def _expand_all(templates: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(sentence for template in templates for sentence in expand(template)))


def _slots_of(*templates: str) -> set[str]:
    return {slot for template in templates for slot in re.findall(r"\{(\w+)\}", template)}


def fill(template: str, row: Row) -> str:
    """Put the values of `row` into the slots."""
    return re.sub(r"\{(\w+)\}", lambda match: row[match.group(1)], template)


def sentence(text: str) -> str:
    """Return `text` with a capital letter and, if it has none, a final period or question mark."""
    text = re.sub(r"\bi\b", "I", text)
    text = text[0].upper() + text[1:]
    if text[-1] in ".?":
        return text
    words = text.split()
    asks = words[0].strip(",").lower() in _QUESTION_STARTS or any(
        first.endswith(",") and second.lower() in _QUESTION_STARTS
        for first, second in itertools.pairwise(words)
    )
    return text + ("?" if asks else ".")


def as_heard(text: str) -> str:
    """Return `text` as a recognizer without punctuation writes it: lowercase words and apostrophes only."""
    return " ".join(re.sub(r"[^a-z' ]", " ", text.lower()).split())


@dataclass(frozen=True)
class Kind:
    """One kind of question. Paraphrases and answers may hold slots, which a row of `rows` fills."""

    name: str
    ask: tuple[str, ...]
    say: str
    rows: tuple[Row, ...]
    accept: str
    """Regular expression; the slots in it stand for their values."""
    follow: tuple[str, ...] = ()
    """Ways to ask the same about another row, right after."""
    brief: str = ""
    """Shortest right answer, for people who want it short."""
    weight: float = 1.0
    plain: bool = False
    """Whether it is asked without polite words around it."""
    splits: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def held_out(self) -> frozenset[str]:
        """The `core` of each paraphrase that is not for training."""
        return frozenset(core(t) for t, split in self.splits.items() if split != "train")

    def paraphrases(self, split: str, follow: bool = False) -> list[str]:
        """Return the templates of `train`, `valid` or `test`; the splits share none."""
        return [t for t in (self.follow if follow else self.ask) if self.splits[t] == split]

    def answer(self, row: Row, brief: bool = False) -> str:
        """Return the answer for `row` as a sentence."""
        return sentence(fill(self.brief if brief and self.brief else self.say, row))

    def accepted(self, row: Row) -> str:
        """Return the regular expression that `as_heard` of a right answer for `row` matches."""
        heard = {name: re.escape(as_heard(value)).replace(r"\ ", " ") for name, value in row.items()}
        return rf"\b(?:{fill(self.accept, heard)})\b"


def core(template: str, empty: frozenset[str] = _POLITE) -> str:
    """Return a paraphrase without the polite words at its ends."""
    words = as_heard(re.sub(r"\{\w+\}", "slot", template)).split()
    while words and words[0] in empty:
        words = words[1:]
    while words and words[-1] in empty:
        words = words[:-1]
    return " ".join(words)


def _bare(template: str) -> str:
    """Return `core` without the words that may open any question."""
    return core(template, _POLITE | _OPENERS).removeprefix("tell me ")


def _fixed_splits(name: str, templates: Iterable[str]) -> dict[str, str]:
    """Split the paraphrases of a kind by hash: of five or more, 15 % (at least one) are test, 5 % valid.

    Paraphrases that differ only in politeness share a split.
    """
    cores = {core(t) for t in templates}
    order = sorted(cores, key=lambda c: hashlib.sha256(f"{name}:{c}".encode()).digest())
    n_test = max(1, round(TEST_SHARE * len(order))) if len(order) >= 5 else 0
    n_valid = max(1, round(VALID_SHARE * len(order))) if len(order) >= 8 else 0
    held_out = dict.fromkeys(order[:n_test], "test") | dict.fromkeys(
        order[n_test : n_test + n_valid], "valid"
    )
    return {t: held_out.get(core(t), "train") for t in templates}


def make_kind(
    name: str,
    ask: Iterable[str],
    say: str,
    rows: Sequence[Row] = ({},),
    accept: str = "",
    follow: Iterable[str] = (),
    split_name: str = "",
    **more: Any,
) -> Kind:
    """Build a kind: expand alternatives, assign splits and, if none is given, derive the accepted pattern.

    Raises:
        TasteError: the kind accepts no answer, or has slots that the rows lack.
    """
    questions, follow_ups = _expand_all(ask), _expand_all(follow)
    answer_slots = sorted(slot for slot in _slots_of(say) if not all(slot in _slots_of(q) for q in questions))
    accept = accept or ".*".join(f"{{{slot}}}" for slot in answer_slots)
    unknown = _slots_of(*questions, *follow_ups, say, accept) - set(rows[0])
    if not accept or unknown:
        problem = f"slots {sorted(unknown)} without values" if unknown else "no accepted answer"
        raise TasteError(f"kind {name!r} has {problem}; complete its entry")
    # All kinds share these ways to follow up, so "how about ..." is kept for the test in all of them.
    splits = {t: "test" if t.startswith("how about") else "train" for t in follow_ups}
    splits = _fixed_splits(split_name or name, questions) | splits
    return Kind(name, questions, say, tuple(rows), accept, follow_ups, splits=splits, **more)


def with_training_paraphrases(
    kind: Kind, templates: Iterable[str], elsewhere: frozenset[str] = frozenset()
) -> Kind:
    """Return the kind with more ways to ask, all of them in split `train`.

    Left out is what is held out, also behind an opening or polite words, and what `elsewhere`, in the form of
    `core`, other kinds hold out.

    Raises:
        TasteError: the rows lack a slot.
    """
    held_out = {_bare(t) for t, split in kind.splits.items() if split != "train"}
    new = [t for t in _expand_all(templates) if t not in kind.splits]
    new = [t for t in new if _bare(t) not in held_out and core(t) not in elsewhere]
    unknown = _slots_of(*new) - set(kind.rows[0])
    if unknown:
        raise TasteError(f"kind {kind.name!r} has slots {sorted(unknown)} without values; complete its entry")
    # "tell me" before a held-out paraphrase would give that away in training.
    kept = [t for t in kind.ask if kind.splits[t] != "train" or _bare(t) not in held_out]
    return replace(kind, ask=(*kept, *new), splits=kind.splits | dict.fromkeys(new, "train"))


def _numbers(of_pair: Callable[[int, int], tuple[int, int, int] | None], top: int) -> list[Row]:
    """Return rows of slots a, b and c for all pairs of numbers up to `top` for which there are values."""
    pairs = itertools.product(range(1, top + 1), repeat=2)
    found = [values for a, b in pairs if (values := of_pair(a, b))]
    return [{slot: num2words(n).replace("-", " ") for slot, n in zip("abc", v, strict=True)} for v in found]


_COMPUTED: dict[str, Callable[[], list[Row]]] = {
    "sums": lambda: _numbers(lambda a, b: (a, b, a + b) if a + b <= 20 else None, 20),
    "differences": lambda: _numbers(lambda a, b: (a, b, a - b) if b <= a else None, 20),
    "products": lambda: _numbers(lambda a, b: (a, b, a * b) if a * b <= 20 or a == b else None, 10),
    "quotients": lambda: _numbers(lambda a, b: (a * b, b, a) if a * b <= 20 else None, 10),
    "comparisons": lambda: _numbers(lambda a, b: (a, b, max(a, b)) if abs(a - b) in (1, 3, 7) else None, 20),
}
"""Rows that the YAML files name under `computed`."""


def _rows(text: str) -> list[Row]:
    """Read a small table: the first line names the slots, semicolons separate values."""
    header, *lines = [[cell.strip() for cell in line.split(";")] for line in text.strip().splitlines()]
    for line in lines:
        if len(line) != len(header):
            raise TasteError(f"row {'; '.join(line)!r} has {len(line)} values; expected {len(header)}")
    return [dict(zip(header, line, strict=True)) for line in lines]


@cache
def all_kinds() -> tuple[Kind, ...]:
    """Return every kind of the YAML files, with the paraphrases of `training_only`."""
    kinds: dict[str, Kind] = {}
    for path in sorted(FOLDER.glob("*.yaml")):
        for name, entry in read_yaml(path).items():
            if "rows" in entry:
                entry["rows"] = _rows(entry["rows"])
            elif "computed" in entry:
                entry["rows"] = _COMPUTED[entry.pop("computed")]()
            kinds[name] = make_kind(name, **entry)
    held_out = frozenset[str]().union(*(kind.held_out for kind in kinds.values()))
    more: dict[str, list[str]] = {name: [] for name in kinds}
    for path in sorted((FOLDER / "training_only").glob("*.yaml")):
        for name, templates in read_yaml(path).items():
            more[name] += templates
    return tuple(with_training_paraphrases(kind, more[name], held_out) for name, kind in kinds.items())


CONTROL: dict[str, Kind] = {
    name: make_kind(name, plain=True, **entry)
    for name, entry in read_yaml(FOLDER / "course" / "control.yaml").items()
}
"""Requests about the talk itself."""


@dataclass(frozen=True)
class Style:
    """A style of answering: the system prompts that set it, and what it puts before short answers."""

    name: str = ""
    system: tuple[str, ...] = ()
    before: str = ""

    def apply(self, text: str) -> str:
        """Return an answer in this style."""
        return f"{self.before} {text}" if self.before and len(text.split()) <= 12 else text


STYLES = tuple(Style(**entry) for entry in read_yaml(FOLDER / "course" / "styles.yaml"))


@dataclass(frozen=True)
class Memory:
    """Something to remember: telling it, asking for it, and asking for it when it was never told."""

    name: str
    tell: Kind
    recall: Kind
    unknown: Kind


def _memory(name: str, values: str, tell: list[str], told: str, ask: list[str], recalled: str) -> Memory:
    rows = [{"value": value} for value in values.split(", ")]
    missing = f"You have not told me your {name.replace('_', ' ')} yet."
    return Memory(
        name,
        make_kind(f"tell_{name}", tell, told, rows, "{value}", plain=True),
        make_kind(f"recall_{name}", ask, recalled, rows, "{value}", split_name=name),
        make_kind(f"unknown_{name}", ask, missing, accept="not told me", split_name=name),
    )


MEMORIES = tuple(_memory(name, **e) for name, e in read_yaml(FOLDER / "course" / "memories.yaml").items())
