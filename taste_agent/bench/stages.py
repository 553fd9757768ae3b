"""Figures from replies early and late in a conversation: by stage, by chunk and as a whole."""

import os
import platform
import resource
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch

from taste_agent.bench import BenchOptions
from taste_agent.bench.report import Figure, Report, Span, Stopwatch
from taste_agent.bench.turn import (
    AUDIO_RATE_HZ,
    REPLY_WORDS,
    Subject,
    Turn,
    TurnCost,
    load_subject,
    naive_forms,
    question_audio,
)
from taste_speech.acceleration.switch import count_weights
from taste_speech.errors import TasteError
from taste_speech.streaming.emit_timing import EmitTiming, every_words, growing_chunks

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
"""When its words go out, at which turn of the conversation, and how often it is repeated at most."""


def run_benchmark(options: BenchOptions, on_stage: Callable[[str], None] = lambda stage: None) -> Report:
    """Measure everything; `on_stage` is called with the name of each part as it begins.

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
    """Return the peak memory, allocated on the GPU or resident in this process, in MiB."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1024 if sys.platform == "linux" else 1)
    note = "resident, of this process with all that it ran"
    if device.type == "cuda":
        used, note = torch.cuda.max_memory_allocated(device), "allocated on the GPU"
    return Figure("peak memory", used / 1024**2, used / 1024**2, "MiB", note=note)


def new_report(subject: Subject, repeats: int) -> Report:
    """Return a report without figures that describes the machine, the model and the command."""
    device, voice = subject.model.device, subject.voice
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


def _calls(part: str, begin: int = 0, end: int | None = None) -> Callable[[TurnCost], list[Span]]:
    return lambda cost: cost.parts[part][begin:end]


class Stages:
    """Measures one model, with `baseline` also in its naive forms."""

    def __init__(self, subject: Subject, repeats: int = 1, baseline: bool = False) -> None:
        self.subject, self.repeats, self.baseline = subject, repeats, baseline
        self._known: dict[str, Costs] = {}

    def _costs(self, name: str) -> Costs:
        """Run one of `REPLIES` after a warm-up, and once in the naive form with `baseline`."""
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
        audio, piece, watch, spans = (
            question_audio(),
            AUDIO_RATE_HZ // 50,
            Stopwatch(self.subject.model.device),
            [],
        )
        with suppress(TasteError, OSError, RuntimeError):  # no recognizer here
            recognizer = self.subject.processor.recognizer()
            for _ in range(1 + min(self.repeats, 3)):
                recognizer.start()
                for begin in range(0, len(audio), piece):
                    recognizer.accept(audio[begin : begin + piece])
                watch.lap()
                recognizer.finish()
                spans.append(watch.lap())
            note = f"apart; of the demo's question, {len(audio) / AUDIO_RATE_HZ:.1f} s"
            yield Figure.of("recognition, after the end of turn", spans[1:], note=note)

    def thinking(self) -> Iterator[Figure]:
        """Measure a step of the LM, in which it reads a token and draws the next one."""
        for reply in (STREAMED, LATE_REPLY):
            yield self._figure(f"LM step, {reply}", reply, lambda cost: cost.steps, self._history(reply))

    def _history(self, reply: str) -> str:
        return f"after {self._costs(reply)[0][0].rows_before} rows of history"

    def speaking(self) -> Iterator[Figure]:
        """Measure the way from words with taste tokens to sound, and chunks of it."""
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
