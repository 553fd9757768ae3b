"""One run of the benchmark: loads the model, measures all stages, says what must hold of the figures."""

import resource
import sys
from collections.abc import Callable, Iterator, Sequence

import torch

from taste_agent.bench import BenchOptions, stages
from taste_agent.bench.report import Check, Figure, Report, new_report
from taste_agent.bench.stages import EARLY, LATE, LATE_TURN, Stages
from taste_agent.bench.subject import Subject, load_subject


def run_benchmark(options: BenchOptions, on_stage: Callable[[str], None] = lambda stage: None) -> Report:
    """Measure everything; `on_stage` is called with the name of what begins.

    Raises:
        TasteError, AgentError: checkpoint or device are not there.
    """
    on_stage("loading")
    subject = load_subject(options)
    if subject.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(subject.device)
    report = new_report(subject, options.repeats)
    of = Stages(subject, options.repeats, options.baseline)
    parts = {"hearing": of.hearing, "thinking": of.thinking, "speaking": of.speaking, "replies": of.replies}
    for name, part in parts.items():
        on_stage(name)
        report.figures += part()
    report.figures.append(peak_memory(subject.device))
    load_ms = 1000 * subject.load_s
    report.figures.append(Figure("loading", load_ms, load_ms, note="once, in this process"))
    report.checks += checks_of(report.figures, subject)
    return report


def peak_memory(device: torch.device) -> Figure:
    """Most memory that was in use: on the GPU, or of the process."""
    if device.type == "cuda":
        used, note = torch.cuda.max_memory_allocated(device), "allocated on the GPU"
    else:
        unit = 1024 if sys.platform == "linux" else 1  # of ru_maxrss, in bytes
        used = unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        note = "resident, of this process with all that it ran"
    return Figure("peak memory", used / 1024**2, used / 1024**2, "MiB", note=note)


def checks_of(figures: Sequence[Figure], subject: Subject) -> list[Check]:
    """Return what must hold: flat costs, ratios to the naive forms, limits of a machine."""
    found = {figure.name: figure for figure in figures}
    short, long = stages.HISTORIES
    late, by_word = f"reply at turn {LATE_TURN}", f"reply at turn {LATE_TURN}, word by word"
    first, streamed, step = "first audio", "reply, streamed", "LM step after {} rows"
    read, prefill, chunk = "rows read by it, after {}", "prefill after {} rows", "chunk {}, one word"
    flat: dict[str, tuple[str, str, float | None]] = {
        f"LM step: after {long} rows / after {short}": (step.format(long), step.format(short), 1.5),
        f"rows read by a turn's prefill: after {long} / {short}": (read.format(long), read.format(short), 1),
        f"time of a turn's prefill: after {long} rows / {short}": (
            prefill.format(long),
            prefill.format(short),
            None,
        ),
        f"detokenizer: chunk {LATE} / chunk {EARLY}": (chunk.format(LATE), chunk.format(EARLY), 1.2),
        "reply: streamed / in one piece": (streamed, "reply, in one piece", 1.3),
    }
    naive = {
        f"naive / streamed: {late}": (late, late, 10),
        f"naive / streamed: {by_word}": (by_word, by_word, 10),
        "naive / streamed: reply at turn 10": (streamed, streamed, 5),
        "naive / streamed: first audio of the same chunk": (first, first, 5),
        "naive, nothing streamed / streamed: first audio": ("first audio, nothing streamed", first, 5),
    }
    checks = [Check(name, found[a].least / found[b].least, limit) for name, (a, b, limit) in flat.items()]
    for name, (a, b, least) in naive.items():
        if (slow := found[a].naive_best) is not None:
            checks.append(Check(name, slow / found[b].least, least, at_least=True))
    return [*checks, *_limits(subject, {name: figure.p50 for name, figure in found.items()})]


def _limits(subject: Subject, p50: dict[str, float]) -> Iterator[Check]:
    """Limits of the shipped checkpoint on a CPU, and of V0 on a GPU."""
    of, first, rtf = (subject.name, subject.device.type), p50["first audio"], p50["RTF of the reply"]
    if of == ("small", "cpu"):
        heard = p50.get("recognition, after the end of turn")
        if heard is not None:
            yield Check("first audio, recognition included (p50)", first + heard, 500, "ms")
        yield Check("RTF of the reply (p50)", rtf, 0.3, "")
        step = f"LM step after {stages.HISTORIES[0]} rows"
        yield Check(f"{step} (p50)", p50[step], 20, "ms")
    if of == ("v0", "cuda"):
        steps = [f"LM step after {rows} rows" for rows in stages.HISTORIES]
        yield from (Check(f"{name} (p50)", p50[name], 1.5, "ms") for name in steps)
        yield Check("one unit (p50)", p50["one unit"], 0.4, "ms")
        sound = p50["flow, first chunk"] + p50["vocoder, first chunk"]
        yield Check("flow and vocoder, first chunk (p50)", sound, 30, "ms")
        yield Check("first audio, without recognition (p50)", first, 80, "ms")
        yield Check("RTF of the reply (p50)", rtf, 0.1, "")
