"""The table that `evaluate` writes: one row per figure, with its target and whether it was reached."""

import datetime
import hashlib
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from taste_speech.training.model_card import MEASURED_END, MEASURED_START

FILE_NAME = "evaluation.json"
OWN_FILES = {
    "size": ("*.safetensors", "recognition/*"),
    "recognition": ("recognition/*",),
    "dialogue": ("*.safetensors", "recognition/*"),
}
"""Files that the figures of a part belong to, beside the configuration; of other parts the weights."""


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
class Part:
    """Figures that were measured together, when, and by which command."""

    name: str
    rows: Sequence[Row]
    date: datetime.date
    command: str


def as_markdown(parts: Sequence[Part]) -> str:
    """The table, with the date and the command of each part."""
    lines = [
        f"- {part.name}: {part.date.isoformat()}, {platform.machine()}, `{part.command}`" for part in parts
    ]
    lines += ["", "| what | measured | target | reached | n |", "|---|---|---|---|---|"]
    for row in (row for part in parts for row in part.rows):
        sign = ">=" if row.at_least else "<="
        target = "" if row.target is None else f"{sign} {row.target:.3g} {row.unit}".rstrip()
        reached = {None: "", True: "yes", False: "no"}[row.reached]
        lines.append(f"| {row.name} | {row.value:.3g} {row.unit} | {target} | {reached} | {row.count} |")
    return "\n".join(lines)


def fingerprint(folder: Path, part: str) -> str:
    """Of what the figures of a part belong to: configuration and files of a checkpoint folder."""
    patterns = OWN_FILES.get(part, ("*.safetensors",))
    files = [folder / "config.json", *(path for pattern in patterns for path in folder.glob(pattern))]
    digest = hashlib.sha256()
    for path in sorted(files):
        if path.exists():
            digest.update(path.read_bytes())
    return digest.hexdigest()


def measured(folder: Path) -> list[Part]:
    """What `evaluation.json` says of these very weights; figures of others are left out."""
    path = folder / FILE_NAME
    record = json.loads(path.read_text()) if path.exists() else {"parts": []}
    parts = []
    for part in record["parts"]:
        if part.get("weights") != fingerprint(folder, part["name"]):
            continue
        rows = [Row(**{k: v for k, v in row.items() if k != "reached"}) for row in part["rows"]]
        parts.append(Part(part["name"], rows, datetime.date.fromisoformat(part["date"]), part["command"]))
    return parts


def write(new: Sequence[Part], folder: Path, order: Sequence[str]) -> list[Part]:
    """Write `evaluation.json` and the table of the model card `README.md`; returns all parts.

    Args:
        new: measured now; they replace the same parts of an earlier measurement.
        folder: of the checkpoint.
        order: names of all parts.
    """
    by_name = {part.name: part for part in (*measured(folder), *new)}
    parts = [by_name[name] for name in order if name in by_name]
    record = {
        "parts": [
            {
                "name": part.name,
                "weights": fingerprint(folder, part.name),
                "date": part.date.isoformat(),
                "command": part.command,
                "rows": [{**asdict(row), "reached": row.reached} for row in part.rows],
            }
            for part in parts
        ],
    }
    (folder / FILE_NAME).write_text(json.dumps(record, indent=1) + "\n")
    card = folder / "README.md"
    text = card.read_text() if card.exists() else f"{MEASURED_START}\n{MEASURED_END}\n"
    start, end = text.find(MEASURED_START), text.find(MEASURED_END)
    if not 0 <= start < end:
        text, start, end = f"{text}\n{MEASURED_START}\n{MEASURED_END}\n", len(text) + 1, 0
        end = text.find(MEASURED_END)
    before = text[: start + len(MEASURED_START)]
    card.write_text(f"{before}\n{as_markdown(parts)}\n{text[end:]}")
    return parts
