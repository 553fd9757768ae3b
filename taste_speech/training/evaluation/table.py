"""The table that `evaluate` writes: one row per figure, with what is wanted and whether it was reached."""

import datetime
import hashlib
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from taste_speech.training.evaluation.scoring import percent
from taste_speech.training.model_card import write_measured

FILE_NAME = "evaluation.json"


@dataclass(frozen=True)
class Row:
    """One measured figure.

    Attributes:
        name, value, unit: what was measured.
        target: what is wanted; None: nothing.
        at_least: whether `target` is a lower bound (else an upper one).
        count: utterances, words or runs that it was measured on.
        natural: the natural voice's own figure, where `value` is the difference from it.
        upper: upper 95 % bound of `value`; where there is one, it is what must meet the target.
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
        """Return whether the figure meets its target; None without one or without anything measured."""
        if self.target is None or not self.count:
            return None
        judged = self.value if self.upper is None else self.upper
        return judged >= self.target if self.at_least else judged <= self.target


def share(name: str, hits: Sequence[bool], target: float | None = None) -> Row:
    """Return the row on how many of some things are so, in percent, and at least how many are wanted."""
    return Row(name, percent(hits), "%", target, True, len(hits))


@dataclass(frozen=True)
class Part:
    """Figures that were measured together, when, on what, and by which command."""

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
    """Return the table, with the date, the machine and the command of each part."""
    lines = [f"- {part.name}: {part.date.isoformat()}, {part.machine}, `{part.command}`" for part in parts]
    return "\n".join([*lines, "", as_table([row for part in parts for row in part.rows])])


def cpu_name() -> str:
    """Return what the processor calls itself."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    named = (line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def digest(paths: Sequence[Path]) -> str:
    """Return the beginning of the sha256 of the bytes of files."""
    found = hashlib.sha256()
    for path in paths:
        found.update(path.read_bytes())
    return found.hexdigest()[:16]


def fingerprint(folder: Path) -> str:
    """Return what figures belong to: configuration and weights of a checkpoint folder."""
    return digest([folder / "config.json", *sorted(folder.rglob("*.safetensors"))])


def measured(folder: Path) -> list[Part]:
    """Return what `evaluation.json` says of these very weights; figures of others are left out."""
    path = folder / FILE_NAME
    record = json.loads(path.read_text()) if path.exists() else {"parts": []}
    weights = fingerprint(folder)
    return [_read_part(part) for part in record["parts"] if part.pop("weights", None) == weights]


def _read_part(record: dict[str, Any]) -> Part:
    rows = [Row(**{name: row[name] for name in row if name != "reached"}) for row in record["rows"]]
    return Part(**record | {"rows": rows, "date": datetime.date.fromisoformat(record["date"])})


def write(new: Sequence[Part], folder: Path, order: Sequence[str]) -> list[Part]:
    """Write `evaluation.json` and the table of the model card; returns all parts.

    Args:
        new: measured now; they replace the same parts of an earlier measurement.
        folder: of the checkpoint.
        order: names of all parts.
    """
    by_name = {part.name: part for part in (*measured(folder), *new)}
    parts = [by_name[name] for name in order if name in by_name]
    weights = fingerprint(folder)
    record = [
        vars(part)
        | {"weights": weights, "date": part.date.isoformat()}
        | {"rows": [{**asdict(row), "reached": row.reached} for row in part.rows]}
        for part in parts
    ]
    (folder / FILE_NAME).write_text(json.dumps({"parts": record}, indent=1) + "\n")
    write_measured(folder, as_markdown(parts))
    return parts
