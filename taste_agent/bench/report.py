"""Times, the figures and checks that are made of them, and the report that shows them."""

import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table

from taste_agent.bench.subject import Subject
from taste_agent.output_folder import cannot_write
from taste_agent.ui.tables import fitting_table
from taste_speech.acceleration.smaller import count_weights

JSON_NAME, TABLE_NAME, PICTURE_NAME = "bench.json", "bench.md", "bench.png"
GPU_COMMAND = "taste-agent bench --preset v0 --device cuda --baseline --out v0-cuda"
Span = NDArray[np.float64]
"""(2,) ms by the clock, which on a busy machine also counts waiting, and of CPU time (all threads)."""


class Stopwatch:
    """Laps that end when the device has finished its work."""

    def __init__(self, device: torch.device) -> None:
        self._wait, self._last = torch.get_device_module(device).synchronize, np.zeros(2)
        self.lap()

    def lap(self) -> Span:
        """Return the time since the last lap."""
        self._wait()
        before, self._last = self._last, 1000 * np.array((time.perf_counter(), time.process_time()))
        return self._last - before


def measure(
    run: Callable[[], object],
    device: torch.device,
    repeats: int,
    before: Callable[[], object] = lambda: None,
    warm_ups: int = 2,
) -> list[Span]:
    """Time `run` without gradients, `repeats` times after `warm_ups`; `before` precedes each run, untimed."""
    watch, spans = Stopwatch(device), []
    with torch.inference_mode():
        for _ in range(warm_ups + repeats):
            before()
            watch.lap()
            run()
            spans.append(watch.lap())
    return spans[warm_ups:]


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report: median, 95th percentile and shortest of the repeats, median of the CPU time."""

    name: str
    p50: float
    p95: float
    unit: str = "ms"
    cpu: float | None = None
    naive: float | None = None
    naive_cpu: float | None = None
    note: str = ""
    best: float | None = None
    naive_best: float | None = None

    @classmethod
    def of(cls, name: str, spans: Sequence[Span], naive: Sequence[Span] = (), note: str = "") -> "Figure":
        """Make a figure of the repeats, and of those of the naive form where it was run."""
        (p50, cpu), p95 = np.median(spans, axis=0).tolist(), float(np.percentile(spans, 95, axis=0)[0])
        slow, slow_cpu = np.median(naive, axis=0).tolist() if naive else (None, None)
        best, slow_best = (float(np.min(runs, axis=0)[0]) if runs else None for runs in (spans, naive))
        return cls(name, p50, p95, "ms", cpu, slow, slow_cpu, note, best, slow_best)

    @property
    def least(self) -> float:
        """The shortest of the repeats; ratios are made of it, for others on the machine can only add."""
        return self.p50 if self.best is None else self.best

    @property
    def ratio(self) -> float | None:
        """How many times longer the naive form takes."""
        return None if self.naive is None or not self.p50 else self.naive / self.p50

    def cells(self) -> dict[str, str]:
        """Texts of a table's row by column."""
        values = {"p50": self.p50, "p95": self.p95, "CPU": self.cpu}
        values |= {"naive p50": self.naive, "naive CPU": self.naive_cpu}
        shown = {name: _number(value, self.unit) for name, value in values.items()}
        ratio = "" if self.ratio is None else f"{self.ratio:.1f}x"
        return {"Stage": self.name, **shown, "ratio": ratio, "Note": self.note}


@dataclass(frozen=True, slots=True)
class Check:
    """A figure, or a ratio of two, and its limit; without one it is only shown."""

    name: str
    value: float
    limit: float | None = None
    unit: str = "x"
    at_least: bool = False

    @property
    def holds(self) -> bool | None:
        """Whether the value is on the right side of the limit; None without one."""
        if self.limit is None:
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def cells(self) -> dict[str, str]:
        """Texts of a table's row by column."""
        sign, holds = ">=" if self.at_least else "<=", {None: "", True: "yes", False: "no"}[self.holds]
        limit = "" if self.limit is None else f"{sign} {self.limit:g} {self.unit}".rstrip()
        return {
            "Limits": self.name,
            "measured": _number(self.value, self.unit),
            "limit": limit,
            "holds": holds,
        }


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    digits = 0 if value >= 100 else 1 if value >= 10 else 3
    return f"{value:.{digits}f} {unit}".rstrip()


def _columns(rows: Sequence[Figure] | Sequence[Check]) -> dict[str, list[str]]:
    cells = [row.cells() for row in rows]
    return {name: [row[name] for row in cells] for name in cells[0]}


def _markdown(columns: dict[str, list[str]]) -> list[str]:
    head, *rows = (f"| {' | '.join(row)} |" for row in (columns, *zip(*columns.values(), strict=True)))
    return ["", head, f"|---|{'---:|' * (len(columns) - 1)}", *rows]


@dataclass(slots=True)
class Report:
    """All figures of a run, and what they were measured on."""

    machine: dict[str, Any]
    model: dict[str, Any]
    command: str
    figures: list[Figure] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """Model and machine."""
        return f"{self.model['name']}, {self.model['dtype']}, on {self.machine['device']}"

    def as_json(self) -> dict[str, Any]:
        """JSON types."""
        figures = [asdict(figure) | {"ratio": figure.ratio} for figure in self.figures]
        checks = [asdict(check) | {"holds": check.holds} for check in self.checks]
        return asdict(self) | {"figures": figures, "checks": checks}

    def table(self, width: int) -> Table:
        """For a terminal of `width` letters: figures are whole, what tells least is left out where needed."""
        columns = _columns(self.figures)
        if not any(columns["ratio"]):
            columns = {name: cells for name, cells in columns.items() if name[:5] not in ("naive", "ratio")}
        spare = ("Note", "naive CPU", "CPU", "p95", "naive p50")
        return fitting_table(self.title, columns, width, spare, words=("Note",))

    def check_table(self, width: int) -> Table:
        """What must hold, for a terminal of `width` letters."""
        return fitting_table("What must hold", _columns(self.checks), width, spare=("limit",))

    def markdown(self) -> str:
        """For a README: the machine, the versions and the command stand with the figures."""
        machine, model = self.machine, self.model
        size = f"{model['parameters'] / 1e6:.1f} million parameters, {model['dtype']}"
        cores = f"{machine['threads']} threads of {machine['cores']} cores, load {machine['load'][0]}"
        versions = f"torch {machine['torch']}, Python {machine['python']}"
        first = f"`{self.command}`: {model['name']} ({size}) on {machine['device']}, {cores}, {versions}."
        remarks = ["", *(f"{remark[0].upper()}{remark[1:]}." for remark in self.remarks), ""]
        tables = _markdown(_columns(self.figures)) + _markdown(_columns(self.checks))
        return "\n".join([first, *tables, *remarks])

    def draw(self, path: Path) -> None:
        """Write a picture: a bar for each duration, and beside it the naive form's."""
        from matplotlib.figure import Figure as Drawing

        figures = [figure for figure in self.figures if figure.unit == "ms" and figure.p50 > 0.01]
        drawing = Drawing(figsize=(9, 1.6 + 0.36 * len(figures)), layout="constrained")
        axes = drawing.subplots()
        for row, figure in enumerate(figures):
            shift, slow = (0.0, 0.0) if figure.naive is None else (0.2, figure.naive)
            axes.barh(row - shift, figure.p50, 0.36, color="#2563a8")
            axes.barh(row + shift, slow, 0.36 if slow else 0, color="#d9b48a")
            cells = figure.cells()
            label = " ".join(("", cells["p50"], cells["ratio"]))
            axes.text(max(figure.p50, slow), row, label, va="center", fontsize=8)
        axes.set(xscale="log", title=self.title.replace("$", r"\$"))
        axes.set_xlim(left=0.01)
        axes.margins(x=0.2, y=0.01)
        axes.set_yticks(range(len(figures)), [figure.name for figure in figures], fontsize=8)
        axes.invert_yaxis()
        axes.set_xlabel("ms, median (light: naive form in the same run; factor: how much longer it takes)")
        axes.spines[["top", "right"]].set_visible(False)
        drawing.savefig(path, dpi=130)

    def write(self, folder: Path) -> None:
        """Write `bench.json`, `bench.md` and `bench.png` into a folder, which is made if need be.

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


def new_report(subject: Subject, repeats: int) -> Report:
    """Return a report that knows its machine, model and command."""
    device, voice = subject.device, subject.voice
    cpu, load, cores = _cpu_name(), os.getloadavg(), os.cpu_count() or 1
    remarks = [f"{repeats} repeats after warm-up; lengths are forced, so the weights do not matter"]
    if device.type == "cpu":
        busy = f"; others kept it busy (load {load[0]:.1f} on {cores} cores)" if load[0] > cores else ""
        remarks.append(f"CPU is the time of this process on the CPU, without waiting for others{busy}")
    if device.type != "cuda":
        remarks.append(f"no GPU was measured here; where there is one: {GPU_COMMAND}")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{cpu} ({device})"
    machine = {"device": name, "cpu": cpu, "cores": cores, "threads": torch.get_num_threads()}
    machine |= {"load": [round(value, 1) for value in load], "python": platform.python_version()}
    machine |= {"torch": torch.__version__, "platform": platform.platform()}
    parameters = count_weights(subject.model) + count_weights(voice)
    model = {"name": subject.name, "parameters": parameters, "dtype": subject.dtype}
    model |= {"compiled": subject.compiled, "flow_steps": voice.config.flow.num_steps}
    command = shlex.join([os.path.basename(sys.argv[0]), *sys.argv[1:]])
    return Report(machine, model, command, remarks=remarks)


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
