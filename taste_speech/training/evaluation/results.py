"""Results of an evaluation: of each item, as figures with targets, and as the table of the model card."""

import datetime
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

from taste_speech.training.config import complete_lines
from taste_speech.training.evaluation.scoring import percent
from taste_speech.training.model_card import write_measured

FILE_NAME = "evaluation.json"
Item = TypeVar("Item")
Result = dict[str, Any]


class Kept:
    """Raw results in files of JSON lines, so that a stopped evaluation resumes.

    Args:
        at_most: number of items of each list to measure; None: all.
    """

    def __init__(self, folder: Path, at_most: int | None = None) -> None:
        self.folder, self.at_most = folder, at_most

    def each(
        self, name: str, items: Mapping[str, Item], measure: Callable[[Item], Result]
    ) -> dict[str, Result]:
        """Return the result of each item by its key; measure those that are not in file `name` yet."""
        path = self.folder / f"{name}.jsonl"
        known = _read(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        wanted = dict(list(items.items())[: self.at_most])
        with path.open("a", encoding="utf-8") as file:
            for key, item in wanted.items():
                if key not in known:
                    known[key] = measure(item)
                    file.write(json.dumps({"key": key, **known[key]}) + "\n")
                    file.flush()
        return {key: known[key] for key in wanted}

    def found(self, name: str, texts: Iterable[str], measure: Callable[[str], Result]) -> list[Result]:
        """Return the results of texts, without the empty ones."""
        return [result for result in self.each(name, {t: t for t in texts}, measure).values() if result]


def _read(path: Path) -> dict[str, Result]:
    results = [json.loads(line) for line in complete_lines(path)]
    return {result.pop("key"): result for result in results}


@dataclass(frozen=True)
class Row:
    """One measured figure.

    Attributes:
        target: None if there is none.
        at_least: whether `target` is a lower bound (else an upper one).
        count: number of utterances, words or runs that were measured.
        natural: the natural voice's own figure, if `value` is the difference from it.
        upper: upper 95 % bound of `value`; if there is one, it must meet the target.
    """

    name: str
    value: float
    unit: str
    target: float | None = None
    at_least: bool = True
    count: int = 0
    natural: float | None = None
    upper: float | None = None

    @property
    def reached(self) -> bool | None:
        """Whether the figure meets its target; None without a target or without measurements."""
        if self.target is None or not self.count:
            return None
        judged = self.value if self.upper is None else self.upper
        return judged >= self.target if self.at_least else judged <= self.target


def at_least(name: str, value: float, unit: str, target: float | None, count: int, *more: float) -> Row:
    """Return a row whose target is a lower bound; `more` is `natural` and `upper`."""
    return Row(name, value, unit, target, True, count, *more)


def at_most(name: str, value: float, unit: str, target: float | None, count: int, *more: float) -> Row:
    """Return a row whose target is an upper bound; `more` is `natural` and `upper`."""
    return Row(name, value, unit, target, False, count, *more)


def share(name: str, hits: Sequence[bool], target: float | None = None) -> Row:
    """Return the row on the share of hits in percent, whose target is a lower bound."""
    return at_least(name, percent(hits), "%", target, len(hits))


@dataclass(frozen=True)
class Part:
    """Figures that were measured together: when, on which machine, and by which command."""

    name: str
    rows: Sequence[Row]
    date: datetime.date
    machine: str
    command: str


def as_table(rows: Sequence[Row]) -> str:
    """Return the rows as a table in Markdown."""
    lines = [
        "| what | measured | natural voice | upper 95 % bound | wanted | reached | n |",
        "|" + "---|" * 7,
    ]
    for row in rows:
        sign = "≥" if row.at_least else "≤"
        wanted = "" if row.target is None else f"{sign} {row.target:.3g} {row.unit}".rstrip()
        reached = {None: "", True: "yes", False: "no"}[row.reached]
        natural, upper = ("" if x is None else f"{x:.3g}" for x in (row.natural, row.upper))
        cells = (row.name, f"{row.value:.3g} {row.unit}".rstrip(), natural, upper, wanted, reached, row.count)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def as_markdown(parts: Sequence[Part]) -> str:
    """Return the date, machine and command of each part, and one table of all rows."""
    lines = [f"- {part.name}: {part.date.isoformat()}, {part.machine}, `{part.command}`" for part in parts]
    return "\n".join([*lines, "", as_table([row for part in parts for row in part.rows])])


_SILENT_PARTS = ("people", "listening", "answers")
"""Parts of the table in which nothing is spoken: they do not depend on the weights of the voice."""
_OF_THE_VOICE, _OF_TURNS = ("voice_generator", "voices"), ("turn_end",)
"""Beginnings of the names of weights; on those for the ends of turns no part of the table depends."""


def fingerprint(folder: Path, without: tuple[str, ...] = ()) -> str:
    """Return a hash of a checkpoint's configuration and weights, which identifies its figures.

    Args:
        without: beginnings of the names of files that are left out.
    """
    found = hashlib.sha256()
    for path in (folder / "config.json", *sorted(folder.rglob("*.safetensors"))):
        if not path.name.startswith(without):
            found.update(path.read_bytes())
    return found.hexdigest()[:16]


def _fingerprint_of_part(folder: Path) -> Callable[[str], str]:
    """Return a function of a part's name that hashes what its figures depend on, reading no files twice."""
    known = cache(partial(fingerprint, folder))
    return lambda part: known(_OF_TURNS + (_OF_THE_VOICE if part in _SILENT_PARTS else ()))


def measured(folder: Path) -> list[Part]:
    """Return the parts in `evaluation.json` that were measured with the current weights."""
    path = folder / FILE_NAME
    record = json.loads(path.read_text()) if path.exists() else {"parts": []}
    weights = _fingerprint_of_part(folder)
    return [
        _read_part(part) for part in record["parts"] if part.pop("weights", None) == weights(part["name"])
    ]


def _read_part(record: dict[str, Any]) -> Part:
    rows = [Row(**{name: row[name] for name in row if name != "reached"}) for row in record["rows"]]
    return Part(**record | {"rows": rows, "date": datetime.date.fromisoformat(record["date"])})


def write(new: Sequence[Part], folder: Path, order: Sequence[str]) -> list[Part]:
    """Write `evaluation.json` and the table of the model card; return all parts.

    Args:
        new: parts that replace those of an earlier measurement.
        order: names of all parts.
    """
    by_name = {part.name: part for part in (*measured(folder), *new)}
    parts = [by_name[name] for name in order if name in by_name]
    weights = _fingerprint_of_part(folder)
    record = [
        vars(part)
        | {"weights": weights(part.name), "date": part.date.isoformat()}
        | {"rows": [{**asdict(row), "reached": row.reached} for row in part.rows]}
        for part in parts
    ]
    (folder / FILE_NAME).write_text(json.dumps({"parts": record}, indent=1) + "\n")
    write_measured(folder, as_markdown(parts))
    return parts
