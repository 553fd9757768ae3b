"""Figures of a run: as a table, as JSON."""

import os
import platform
import resource
import shlex
import sys
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from rich.table import Table

from taste_agent.bench.subject import Subject
from taste_agent.bench.timing import Times
from taste_agent.ui.fitting_table import fitting_table
from taste_speech.acceleration.half_linear import count_weights

GPU_COMMAND = "taste-agent bench --preset v0 --device cuda --baseline --out v0-cuda"
_KIB = 1024
_MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report.

    Attributes:
        name: what was measured.
        p50, p95: of the repeats, by the clock.
        unit: of these.
        cpu: p50 of the CPU time of this process, in the same unit; None: not a duration.
        naive, naive_cpu: p50 of the naive form; None: not run, or there is none.
        best, naive_best: the shortest of the repeats; None: as `p50`, `naive`.
        note: what else one must know.
    """

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
    def of(cls, name: str, times: Times, naive: Times | None = None, note: str = "") -> "Figure":
        """A figure of durations."""
        slow = None if naive is None else naive.p50
        slow_cpu = None if naive is None else naive.cpu_p50
        slow_best = None if naive is None else naive.best
        return cls(
            name, times.p50, times.p95, "ms", times.cpu_p50, slow, slow_cpu, note, times.best, slow_best
        )

    @property
    def least(self) -> float:
        """The shortest of the repeats."""
        return self.p50 if self.best is None else self.best

    @property
    def naive_least(self) -> float | None:
        """The shortest of the repeats of the naive form."""
        return self.naive if self.naive_best is None else self.naive_best

    @property
    def ratio(self) -> float | None:
        """How many times longer the naive form takes."""
        return None if self.naive is None or not self.p50 else self.naive / self.p50


@dataclass(frozen=True, slots=True)
class Check:
    """A figure, or a ratio of two, and its limit; None: there is none, it is shown for what it is."""

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


@dataclass(slots=True)
class Report:
    """All figures of a run, and what they were measured on."""

    machine: dict[str, Any]
    model: dict[str, Any]
    command: str
    figures: list[Figure] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """JSON types."""
        figures = [asdict(figure) | {"ratio": figure.ratio} for figure in self.figures]
        checks = [asdict(check) | {"holds": check.holds} for check in self.checks]
        return asdict(self) | {"figures": figures, "checks": checks}

    def table(self, width: int) -> Table:
        """For a terminal of `width` letters: figures are whole, what tells least is left out where needed."""
        figures = self.figures
        columns = {
            "Stage": [figure.name for figure in figures],
            "p50": [_number(figure.p50, figure.unit) for figure in figures],
            "p95": [_number(figure.p95, figure.unit) for figure in figures],
            "CPU": [_number(figure.cpu, figure.unit) for figure in figures],
        }
        if any(figure.naive is not None for figure in figures):
            columns["naive p50"] = [_number(figure.naive, figure.unit) for figure in figures]
            columns["naive CPU"] = [_number(figure.naive_cpu, figure.unit) for figure in figures]
            columns["ratio"] = ["" if figure.ratio is None else f"{figure.ratio:.1f}x" for figure in figures]
        columns["Note"] = [figure.note for figure in figures]
        title = f"{self.model['name']}, {self.model['dtype']}, on {self.machine['device']}"
        spare = ("Note", "naive CPU", "CPU", "p95", "naive p50")
        return fitting_table(title, columns, width, spare, words=("Note",))

    def check_table(self, width: int) -> Table:
        """What must hold, for a terminal of `width` letters."""
        cells = [[check.name, *_check_cells(check)] for check in self.checks]
        names = ("Limits", "measured", "limit", "holds")
        columns = {name: [row[index] for row in cells] for index, name in enumerate(names)}
        return fitting_table("What must hold", columns, width, spare=("limit",))

    def markdown(self) -> str:
        """For a README: the machine, the versions and the command stand with the figures."""
        machine, model = self.machine, self.model
        size = f"{model['parameters'] / 1e6:.1f} million parameters, {model['dtype']}"
        cores = f"{machine['threads']} threads of {machine['cores']} cores, load {machine['load'][0]}"
        versions = f"torch {machine['torch']}, Python {machine['python']}"
        lines = [
            f"`{self.command}`: {model['name']} ({size}) on {machine['device']}, {cores}, {versions}.",
            "",
            "| | p50 | p95 | CPU | naive p50 | ratio | |",
            "|---|---:|---:|---:|---:|---:|---|",
        ]
        for figure in self.figures:
            values = (figure.p50, figure.p95, figure.cpu, figure.naive)
            cells = [figure.name, *(_number(value, figure.unit) for value in values)]
            cells += ["" if figure.ratio is None else f"{figure.ratio:.1f}x", figure.note]
            lines.append(f"| {' | '.join(cells)} |")
        lines += ["", "| what must hold | measured | limit | holds |", "|---|---:|---:|---|"]
        lines += [f"| {check.name} | {' | '.join(_check_cells(check))} |" for check in self.checks]
        return "\n".join([*lines, "", *(f"{remark[0].upper()}{remark[1:]}." for remark in self.remarks), ""])


def new_report(subject: Subject, repeats: int) -> Report:
    """A report that knows its machine, model and command."""
    remarks = [f"{repeats} repeats after warm-up; lengths are forced, so the weights do not matter"]
    if subject.device.type == "cpu":
        load, cores = os.getloadavg()[0], os.cpu_count() or 1
        busy = f"; others kept it busy (load {load:.1f} on {cores} cores)" if load > cores else ""
        remarks.append(f"CPU is the time of this process on the CPU, without waiting for others{busy}")
    if subject.device.type != "cuda":
        remarks.append(f"no GPU was measured here; where there is one: {GPU_COMMAND}")
    if subject.name == "v0-short":
        remarks.append(
            "the preset v0-short checks that the benchmark runs; it says nothing about the speed of V0"
        )
    return Report(machine_of(subject), _model_of(subject), _command(), remarks=remarks)


def machine_of(subject: Subject) -> dict[str, Any]:
    """What it ran on."""
    device = subject.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{_cpu_name()} ({device})"
    return {
        "device": name,
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": [round(value, 1) for value in os.getloadavg()],
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
    }


def peak_memory(device: torch.device) -> Figure:
    """Most memory that was in use: on the GPU, or of the process."""
    if device.type == "cuda":
        mib = torch.cuda.max_memory_allocated(device) / _MIB
        return Figure("peak memory", mib, mib, "MiB", note="allocated on the GPU")
    unit = _KIB if sys.platform == "linux" else 1  # of ru_maxrss, in bytes
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _MIB
    return Figure("peak memory", mib, mib, "MiB", note="resident, of this process with all that it ran")


def _model_of(subject: Subject) -> dict[str, Any]:
    count = count_weights(subject.model) + count_weights(subject.voice)
    return {
        "name": subject.name,
        "parameters": count,
        "dtype": subject.dtype,
        "static_steps": subject.model.spoken_lm.acceleration is not None,
        "cuda_graphs": subject.model.spoken_lm.acceleration is not None and subject.device.type == "cuda",
        "flow_steps": subject.voice.config.flow.num_steps,
    }


def _command() -> str:
    """The command line, without the folder of the program."""
    return shlex.join([os.path.basename(sys.argv[0]), *sys.argv[1:]])


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _check_cells(check: Check) -> list[str]:
    sign = ">=" if check.at_least else "<="
    limit = "" if check.limit is None else f"{sign} {check.limit:g} {check.unit}".rstrip()
    outcome = {None: "", True: "yes", False: "no"}[check.holds]
    return [_number(check.value, check.unit), limit, outcome]


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    digits = 0 if value >= 100 else 1 if value >= 10 else 3
    return f"{value:.{digits}f}{f' {unit}' if unit else ''}"
