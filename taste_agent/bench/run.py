"""One run of the benchmark: loads the model, measures all stages, writes what was asked for."""

import json
from collections.abc import Callable
from pathlib import Path

import torch

from taste_agent.bench.checks import checks_of
from taste_agent.bench.hearing import hearing_figures, recognition_figure
from taste_agent.bench.options import BenchOptions
from taste_agent.bench.replying import chunk_figures, reply_figures
from taste_agent.bench.report import Figure, Report, new_report, peak_memory
from taste_agent.bench.speaking import speaking_figures
from taste_agent.bench.start import start_figures
from taste_agent.bench.subject import load_subject
from taste_agent.bench.thinking import thinking_figures
from taste_agent.output_folder import cannot_write

JSON_NAME, TABLE_NAME, PICTURE_NAME = "bench.json", "bench.md", "bench.png"


def run_benchmark(options: BenchOptions, on_stage: Callable[[str], None] = lambda stage: None) -> Report:
    """Measure everything.

    Args:
        options: what to measure.
        on_stage: called with the name of what begins.

    Raises:
        TasteError, AgentError: checkpoint or device are not there.
    """
    on_stage("loading")
    subject = load_subject(options)
    if subject.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(subject.device)
    report = new_report(subject, options.repeats)
    repeats, baseline = options.repeats, options.baseline
    on_stage("hearing")
    report.figures += hearing_figures(subject, repeats)
    recognition = recognition_figure(subject, repeats)
    if recognition is not None:
        report.figures.append(recognition)
    on_stage("thinking")
    report.figures += thinking_figures(subject, repeats, baseline)
    on_stage("speaking")
    report.figures += speaking_figures(subject, repeats, baseline)
    report.figures += chunk_figures(subject, repeats, baseline)
    on_stage("replies")
    report.figures += reply_figures(subject, repeats, baseline)
    report.figures.append(peak_memory(subject.device))
    report.figures.append(
        Figure("loading", 1000 * subject.load_s, 1000 * subject.load_s, note="once, in this process")
    )
    if options.check_start:
        on_stage("start")
        report.figures += start_figures()
    report.checks += checks_of(report.figures, subject)
    return report


def write_report(report: Report, folder: Path) -> None:
    """Write `bench.json`, `bench.md` and `bench.png` into a folder, which is made if need be.

    Raises:
        AgentError: they cannot be written.
    """
    from taste_agent.bench.picture import draw

    text = json.dumps(report.as_json(), indent=1)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / JSON_NAME).write_text(text + "\n", encoding="utf-8")
        (folder / TABLE_NAME).write_text(report.markdown(), encoding="utf-8")
        draw(report, folder / PICTURE_NAME)
    except OSError as error:
        raise cannot_write(folder, error) from error
