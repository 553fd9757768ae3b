"""Timing, the figures derived from it, and the report that shows them."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table

from taste_agent.output_folder import cannot_write
from taste_agent.ui.tables import fitting_table

JSON_NAME, TABLE_NAME, PICTURE_NAME = "bench.json", "bench.md", "bench.png"
Span = NDArray[np.float64]  # (2,) ms of wall-clock time, which includes waiting, and of CPU time


class Stopwatch:
    """Measures laps, each of which ends when the device has finished its work."""

    def __init__(self, device: torch.device) -> None:
        self._wait, self._last = torch.get_device_module(device).synchronize, np.zeros(2)
        self.lap()

    def lap(self) -> Span:
        """Return the time since the last lap."""
        self._wait()
        before, self._last = self._last, 1000 * np.array((time.perf_counter(), time.process_time()))
        return self._last - before


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report: median and 95th percentile of the repeats, and median CPU time."""

    name: str
    p50: float
    p95: float
    unit: str = "ms"
    cpu: float | None = None
    naive: float | None = None
    naive_cpu: float | None = None
    note: str = ""

    @classmethod
    def of(cls, name: str, spans: Sequence[Span], naive: Sequence[Span] = (), note: str = "") -> "Figure":
        """Make a figure from the repeats, and from those of the naive form if it was run."""
        (p50, cpu), p95 = np.median(spans, axis=0).tolist(), float(np.percentile(spans, 95, axis=0)[0])
        slow, slow_cpu = np.median(naive, axis=0).tolist() if naive else (None, None)
        return cls(name, p50, p95, "ms", cpu, slow, slow_cpu, note)

    @property
    def ratio(self) -> float | None:
        """How many times longer the naive form takes."""
        return None if self.naive is None or not self.p50 else self.naive / self.p50

    def cells(self) -> dict[str, str]:
        """Return the cells of a table row, by column."""
        values = {"p50": self.p50, "p95": self.p95, "CPU": self.cpu}
        values |= {"naive p50": self.naive, "naive CPU": self.naive_cpu}
        ratio = "" if self.ratio is None else f"{self.ratio:.1f}x"
        shown = {name: _number(value, self.unit) for name, value in values.items()}
        return {"Stage": self.name, **shown, "ratio": ratio, "Note": self.note}


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    digits = 0 if value >= 100 else 1 if value >= 10 else 3
    return f"{value:.{digits}f} {unit}".rstrip()


@dataclass(slots=True)
class Report:
    """All figures of a run, with the machine and model that were measured."""

    machine: dict[str, Any]
    model: dict[str, Any]
    command: str
    figures: list[Figure] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """Model and machine."""
        return f"{self.model['name']}, {self.model['dtype']}, on {self.machine['device']}"

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON types."""
        return asdict(self) | {"figures": [asdict(each) | {"ratio": each.ratio} for each in self.figures]}

    def columns(self) -> dict[str, list[str]]:
        """Return the cells of the table, by column."""
        rows = [figure.cells() for figure in self.figures]
        return {name: [row[name] for row in rows] for name in rows[0]}

    def table(self, width: int) -> Table:
        """Return the figures for a terminal `width` characters wide; the least useful columns go first."""
        columns = self.columns()
        if not any(columns["ratio"]):
            columns = {name: cells for name, cells in columns.items() if name[:5] not in ("naive", "ratio")}
        spare = ("Note", "naive CPU", "CPU", "p95", "naive p50")
        return fitting_table(self.title, columns, width, spare, words=("Note",))

    def markdown(self) -> str:
        """Return the report as Markdown, with the machine, the versions and the command."""
        machine, model = self.machine, self.model
        size = f"{model['parameters'] / 1e6:.1f} million parameters, {model['dtype']}"
        cores = f"{machine['threads']} threads of {machine['cores']} cores, load {machine['load'][0]}"
        versions = f"torch {machine['torch']}, Python {machine['python']}"
        first = f"`{self.command}`: {model['name']} ({size}) on {machine['device']}, {cores}, {versions}."
        columns = self.columns()
        head, *rows = (f"| {' | '.join(row)} |" for row in (columns, *zip(*columns.values(), strict=True)))
        table, remarks = [head, "|---|" + "---:|" * (len(columns) - 1), *rows], self.remarks
        return "\n".join([first, "", *table, "", *(f"{text[0].upper()}{text[1:]}." for text in remarks), ""])

    def draw(self, path: Path) -> None:
        """Draw a bar for each duration, with the naive form's beside it."""
        from matplotlib.figure import Figure as Drawing

        figures = [figure for figure in self.figures if figure.unit == "ms" and figure.p50 > 0.01]
        drawing, rows = (
            Drawing(figsize=(9, 1.6 + 0.36 * len(figures)), layout="constrained"),
            range(len(figures)),
        )
        axes = drawing.subplots()
        naive = [figure.naive or 0.01 for figure in figures]
        axes.barh([row + 0.2 for row in rows], naive, 0.36, color="#d9b48a")
        axes.barh([row - 0.2 for row in rows], [figure.p50 for figure in figures], 0.36, color="#2563a8")
        for row, figure in enumerate(figures):
            label = f" {figure.cells()['p50']} {figure.cells()['ratio']}"
            axes.text(max(figure.p50, naive[row]), row, label, va="center", fontsize=8)
        axes.set(xscale="log", title=self.title.replace("$", r"\$"))
        axes.margins(x=0.2, y=0.01)
        axes.set_yticks(rows, [figure.name for figure in figures], fontsize=8)
        axes.invert_yaxis()
        axes.set_xlabel("ms, median (light: naive form in the same run; factor: how much longer it takes)")
        drawing.savefig(path, dpi=130)

    def write(self, folder: Path) -> None:
        """Write `bench.json`, `bench.md` and `bench.png` to a folder, which is created if needed.

        Raises:
            AgentError: they cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / JSON_NAME).write_text(json.dumps(self.as_json(), indent=1) + "\n", encoding="utf-8")
            (folder / TABLE_NAME).write_text(self.markdown(), encoding="utf-8")
            self.draw(folder / PICTURE_NAME)
        except OSError as error:
            raise cannot_write(folder, error) from error
