"""The table that `evaluate` writes: one row per figure, with its target and whether it was reached."""

import datetime
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from taste_speech.training.model_card import MEASURED_END, MEASURED_START


@dataclass(frozen=True)
class Row:
    """One measured figure."""

    name: str
    value: float
    unit: str
    target: float | None = None
    at_least: bool = True
    """Whether `target` is a lower bound (else an upper one)."""
    count: int = 0
    """Utterances, words or runs that it was measured on."""

    @property
    def reached(self) -> bool | None:
        """Whether the figure meets its target; None without one."""
        if self.target is None:
            return None
        return self.value >= self.target if self.at_least else self.value <= self.target


@dataclass(frozen=True)
class Table:
    """All figures of a run, when it was and how it was started."""

    rows: Sequence[Row]
    date: datetime.date
    command: str


def as_markdown(table: Table) -> str:
    """The dated table with the command that measured it."""
    lines = [
        f"Measured on {table.date.isoformat()} ({platform.machine()}): `{table.command}`.",
        "",
        "| what | measured | target | reached | n |",
        "|---|---|---|---|---|",
    ]
    for row in table.rows:
        sign = ">=" if row.at_least else "<="
        target = "" if row.target is None else f"{sign} {row.target:.3g} {row.unit}".rstrip()
        reached = {None: "", True: "yes", False: "no"}[row.reached]
        lines.append(f"| {row.name} | {row.value:.3g} {row.unit} | {target} | {reached} | {row.count} |")
    return "\n".join(lines)


def write(table: Table, folder: Path) -> None:
    """Write `evaluation.json`, and the table into the model card `README.md` of a checkpoint folder."""
    rows = [{**asdict(row), "reached": row.reached} for row in table.rows]
    record = {"date": table.date.isoformat(), "command": table.command, "rows": rows}
    (folder / "evaluation.json").write_text(json.dumps(record, indent=1) + "\n")
    card = folder / "README.md"
    text = card.read_text() if card.exists() else f"{MEASURED_START}\n{MEASURED_END}\n"
    start, end = text.find(MEASURED_START), text.find(MEASURED_END)
    if not 0 <= start < end:
        text, start, end = f"{text}\n{MEASURED_START}\n{MEASURED_END}\n", len(text) + 1, 0
        end = text.find(MEASURED_END)
    before = text[: start + len(MEASURED_START)]
    card.write_text(f"{before}\n{as_markdown(table)}\n{text[end:]}")
