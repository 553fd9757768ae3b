"""Measures turns of a conversation, by stage, by chunk and as a whole, and reports the figures."""

import json
import os
import platform
import resource
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.table import Table

from taste_agent.bench import BenchOptions
from taste_agent.bench.turn import (
    AUDIO_RATE_HZ,
    REPLY_WORDS,
    Span,
    Stopwatch,
    Subject,
    Turn,
    TurnCost,
    load_subject,
    naive_forms,
    question_audio,
)
from taste_agent.output_folder import cannot_write
from taste_agent.ui.tables import fitting_table
from taste_speech.acceleration.switch import count_weights
from taste_speech.cpu import cpu_name
from taste_speech.errors import TasteError
from taste_speech.streaming.emit_timing import EmitTiming, every_words, growing_chunks

JSON_NAME, TABLE_NAME, PICTURE_NAME = "bench.json", "bench.md", "bench.png"
GPU_COMMAND = "taste-agent bench --preset v0 --device cuda --baseline --out v0-cuda"
STREAMED, WHOLE = "reply, streamed", "reply, in one piece"
LATE_REPLY, BY_WORD = "reply at turn 20", "reply at turn 20, word by word"
CHUNKS = (15, 35)  # both with a full window of words before them
Costs = tuple[list[TurnCost], list[TurnCost]]  # of the runs of a turn, and of those in the naive form
REPLIES: dict[str, tuple[EmitTiming, int, int]] = {
    STREAMED: (growing_chunks(), 10, 10**6),
    WHOLE: (every_words(REPLY_WORDS + 1), 10, 10**6),
    LATE_REPLY: (growing_chunks(), 20, 3),
    BY_WORD: (every_words(1), 20, 3),
}
"""For each reply: when its words are spoken, its turn in the conversation, and the most repeats."""


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
        """Make a figure from the repeats, and from those of the naive form if there are any."""
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
    """All figures of a run, with the machine and the model that were measured."""

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
        """Draw a bar for each duration, with that of the naive form next to it."""
        from matplotlib.figure import Figure as Drawing

        figures = [figure for figure in self.figures if figure.unit == "ms" and figure.p50 > 0.01]
        drawing = Drawing(figsize=(9, 1.6 + 0.36 * len(figures)), layout="constrained")
        axes, rows = drawing.subplots(), range(len(figures))
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
        axes.set_xlabel(
            "ms, median (light: naive form in the same run, with the factor by which it is slower)"
        )
        drawing.savefig(path, dpi=130)

    def write(self, folder: Path) -> None:
        """Write `bench.json`, `bench.md` and `bench.png` to a folder, which is created if needed.

        Raises:
            AgentError: the files cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / JSON_NAME).write_text(json.dumps(self.as_json(), indent=1) + "\n", encoding="utf-8")
            (folder / TABLE_NAME).write_text(self.markdown(), encoding="utf-8")
            self.draw(folder / PICTURE_NAME)
        except OSError as error:
            raise cannot_write(folder, error) from error


def run_benchmark(options: BenchOptions, on_stage: Callable[[str], None] = lambda stage: None) -> Report:
    """Measure everything. `on_stage` is called with the name of each part when it starts.

    Raises:
        TasteError, AgentError: the checkpoint or device does not exist.
    """
    on_stage("loading")
    subject = load_subject(options)
    if subject.model.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(subject.model.device)
    report, of = new_report(subject, options.repeats), Stages(subject, options.repeats, options.baseline)
    for part in (of.hearing, of.thinking, of.speaking, of.replies):
        on_stage(part.__name__)
        report.figures += part()
    load_ms, memory = 1000 * subject.load_s, peak_memory(subject.model.device)
    report.figures += [memory, Figure("loading", load_ms, load_ms, note="once, in this process")]
    return report


def peak_memory(device: torch.device) -> Figure:
    """Return the peak memory in MiB: allocated on the GPU, or resident in this process."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1024 if sys.platform == "linux" else 1)
    note = "resident memory of this whole process"
    if device.type == "cuda":
        used, note = torch.cuda.max_memory_allocated(device), "allocated on the GPU"
    return Figure("peak memory", used / 1024**2, used / 1024**2, "MiB", note=note)


def new_report(subject: Subject, repeats: int) -> Report:
    """Return a report without figures that describes the machine, the model and the command."""
    device, voice = subject.model.device, subject.voice
    cpu, load, cores = cpu_name(), os.getloadavg(), os.cpu_count() or 1
    remarks = [f"{repeats} repeats after a warm-up; lengths are fixed, so the weights do not matter"]
    if device.type == "cpu":
        busy = f"; others kept it busy (load {load[0]:.1f} on {cores} cores)" if load[0] > cores else ""
        remarks.append(f"CPU is the processor time of this process, without waiting for other programs{busy}")
    if device.type != "cuda":
        remarks.append(f"no GPU was measured; on a machine with a GPU, run: {GPU_COMMAND}")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{cpu} ({device})"
    machine = {"device": name, "cpu": cpu, "cores": cores, "threads": torch.get_num_threads()}
    machine |= {"load": [round(value, 1) for value in load], "python": platform.python_version()}
    machine |= {"torch": torch.__version__, "platform": platform.platform()}
    parameters = count_weights(subject.model) + count_weights(voice)
    model = {"name": subject.name, "parameters": parameters, "dtype": subject.dtype}
    model |= {"compiled": subject.compiled, "flow_steps": voice.config.flow.num_steps}
    command = shlex.join([os.path.basename(sys.argv[0]), *sys.argv[1:]])
    return Report(machine, model, command, remarks=remarks)


def _calls(part: str, begin: int = 0, end: int | None = None) -> Callable[[TurnCost], list[Span]]:
    return lambda cost: cost.parts[part][begin:end]


class Stages:
    """Measures one model; with `baseline`, also its naive forms."""

    def __init__(self, subject: Subject, repeats: int = 1, baseline: bool = False) -> None:
        self.subject, self.repeats, self.baseline = subject, repeats, baseline
        self._known: dict[str, Costs] = {}

    def _costs(self, name: str) -> Costs:
        if name not in self._known:
            emit, number, most = REPLIES[name]
            turn, naive = Turn(self.subject, emit, number), []
            costs = [turn.run() for _ in range(1 + min(self.repeats, most))][1:]
            if self.baseline:
                with naive_forms(self.subject):
                    naive.append(Turn(self.subject, emit, number, naive=True).run())
            self._known[name] = costs, naive
        return self._known[name]

    def _figure(
        self, name: str, reply: str, part: Callable[[TurnCost], list[Span]], note: str = ""
    ) -> Figure:
        fast, naive = ([span for cost in runs for span in part(cost)] for runs in self._costs(reply))
        return Figure.of(name, fast, naive, note)

    def hearing(self) -> Iterator[Figure]:
        """Measure the parts of tokenizing 3 s of audio, and recognition after the last sample."""
        for name in ("features", "encoder", "aggregator", "RVQ"):
            yield Figure.of(name, [span for cost in self._costs(STREAMED)[0] for span in cost.parts[name]])
        audio, piece = question_audio(), AUDIO_RATE_HZ // 50
        watch, spans = Stopwatch(self.subject.model.device), []
        with suppress(TasteError, OSError, RuntimeError):  # no recognizer here
            recognizer = self.subject.processor.recognizer()
            for _ in range(1 + min(self.repeats, 3)):
                recognizer.start()
                for begin in range(0, len(audio), piece):
                    recognizer.accept(audio[begin : begin + piece])
                watch.lap()
                recognizer.finish()
                spans.append(watch.lap())
            note = f"separate run, on the demo's question of {len(audio) / AUDIO_RATE_HZ:.1f} s"
            yield Figure.of("recognition, after the end of turn", spans[1:], note=note)

    def thinking(self) -> Iterator[Figure]:
        """Measure a step of the LM, which reads a token and draws the next one."""
        for reply in (STREAMED, LATE_REPLY):
            yield self._figure(f"LM step, {reply}", reply, lambda cost: cost.steps, self._history(reply))

    def _history(self, reply: str) -> str:
        return f"after {self._costs(reply)[0][0].rows_before} rows of history"

    def speaking(self) -> Iterator[Figure]:
        """Measure the parts of speech synthesis, and single chunks."""
        yield self._figure("one unit", STREAMED, _calls("unit"), "mean of a chunk")
        for name in ("flow", "vocoder"):
            yield self._figure(f"{name}, first chunk", STREAMED, _calls(name, 0, 1))
            yield self._figure(f"{name}, later chunk", STREAMED, _calls(name, 1))
        for chunk in CHUNKS:
            yield self._figure(f"chunk {chunk}, one word", BY_WORD, _calls("speak", chunk - 1, chunk))

    def replies(self) -> Iterator[Figure]:
        """Measure first audio and its parts, the real-time factor, and whole replies at two turns."""
        cost = self._costs(STREAMED)[0][0]
        first = self._figure("first audio", STREAMED, lambda cost: [cost.first_audio])
        late = self._figure("first audio, nothing streamed", WHOLE, lambda cost: [cost.first_audio])
        times = f"{(late.naive or late.p50) / first.p50:.1f} times the streamed one"
        rtf = self._figure("RTF of the reply", STREAMED, lambda cost: [cost.reply / (1000 * cost.audio_s)])
        sound = f"{cost.audio_s:.1f} s of sound in {len(cost.words)} chunks, without taste tokens"
        yield first
        yield self._figure("- taste tokens", STREAMED, lambda cost: [cost.tokenize])
        yield self._figure("- prefill", STREAMED, lambda cost: [cost.prefill])
        yield self._figure(
            "- first words", STREAMED, lambda cost: cost.generate[:1], f"{cost.words[0]} words"
        )
        yield self._figure("- their sound", STREAMED, lambda cost: cost.speak[:1])
        yield replace(late, note=f"naive: {times}" if late.naive else times)
        yield replace(rtf, unit="", note=sound)
        for reply in REPLIES:
            yield self._figure(reply, reply, lambda cost: [cost.reply], self._history(reply))
