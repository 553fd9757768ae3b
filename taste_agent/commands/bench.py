"""`taste-agent bench` and `taste-agent bench duplex`: run the measurements and show their figures."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from matplotlib.figure import Figure
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from taste_agent.bench import BenchOptions
from taste_agent.bench.report import JSON_NAME, PICTURE_NAME, TABLE_NAME, run_benchmark
from taste_agent.config import AgentSettings, ModelSettings
from taste_agent.dialog.brain_loader import announce_first_use, check_names, load_for_talks
from taste_agent.duplex.measures import Silence, best, cut_off_at, delay_at, own_outcome, sweep
from taste_agent.duplex.run import Measured, Summary, find_items, run_items, summarize
from taste_agent.errors import AgentError
from taste_agent.output_folder import check_writable

DUPLEX_NAME, TURN_ENDS_NAME = "taste-agent.json", "turn_ends.png"
SET_SIZE = 200
DELAYS_S, CUT_OFFS, MEDIAN_S = (0.3, 0.6, 1.0), (0.05, 0.1), 0.45
"""Budgets: seconds of mean delay, shares of pauses that are cut off, and seconds of median delay."""


def show_benchmark(options: BenchOptions, as_json: bool = False) -> None:
    """Print the report as a table or as JSON, and write it to the output folder if there is one.

    Progress goes to stderr.

    Raises:
        TasteError, AgentError: the checkpoint or device does not exist, or the folder cannot be written.
    """
    if options.out is not None:
        check_writable(options.out)
    if options.preset is None:
        model = {"checkpoint": options.checkpoint, "device": options.device, "dtype": options.dtype}
        announce_first_use(ModelSettings.model_validate(model))
    with Console(stderr=True, highlight=False).status("loading") as status:
        report = run_benchmark(options, status.update)
    console = _console()
    try:  # neither a full disk nor `| head` may lose minutes of work
        if as_json:
            console.print_json(json.dumps(report.as_json()))
        else:
            console.print(report.table(console.width))
            console.print("\n".join(report.remarks), soft_wrap=True)
    finally:
        if options.out is not None:
            report.write(options.out)
    if options.out is not None and not as_json:
        names = f"{JSON_NAME}, {TABLE_NAME}, {PICTURE_NAME}"
        console.print(f"Written to {options.out}: {names}", soft_wrap=True)


def show_duplex(folder: Path, settings: AgentSettings, as_json: bool = False) -> None:
    """Print the figures of each task, and write those of each item to `taste-agent.json` in the folder.

    Raises:
        AgentError: the folder has no items or cannot be written.
        AudioError: an input cannot be read.
        TasteError: the model cannot be loaded.
    """
    check_names(settings)
    items = find_items(folder)
    check_writable(folder)
    announce_first_use(settings.model)
    running = run_items(items, settings, load_for_talks(settings))
    errors = Console(stderr=True, highlight=False)
    measured = list(track(running, f"{len(items)} recordings", len(items), console=errors))
    summaries = summarize(measured)
    result = {"tasks": [asdict(one) for one in summaries], "items": [_row(one, folder) for one in measured]}
    (folder / DUPLEX_NAME).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    console = _console()
    if as_json:
        console.print_json(json.dumps(result))
        return
    console.print(_tasks_table(summaries))
    silences = [one.silence for one in measured if one.silence is not None]
    if len({silence.duration_s is None for silence in silences}) == 2:  # both pauses and ends of turns
        console.print(_turn_ends_table(silences))
        console.print(_own_line(silences), soft_wrap=True)
        draw_turn_ends(folder / TURN_ENDS_NAME, silences)
        console.print(f"Picture of the trade-off: {folder / TURN_ENDS_NAME}")
    console.print(f"Written next to each input: output.wav, output.json. All figures: {folder / DUPLEX_NAME}")


def make_set(folder: Path, voices: Path, seed: int) -> None:
    """Write 200 recordings, spoken by voices that are not used in training, to a folder that has none.

    Raises:
        AgentError: the folder already has recordings, or a package that speaks them is missing.
        TasteError: a voice is missing.
    """
    if any(folder.rglob("input.wav")):
        raise AgentError(f"{folder} already contains recordings; name a new folder for the set")
    try:
        from taste_speech.pretrained.packaged import cache_folder
        from taste_speech.training.corpus.listeners import Listeners
        from taste_speech.training.evaluation.recordings import write_duplex_set

        speaker = Listeners(cache_folder(), voices)
    except ImportError as error:
        raise AgentError(
            f"making a set needs {error.name}; in a clone of the repository run: "
            "pip install -e '.[train,listeners]'"
        ) from error
    console = Console(stderr=True, highlight=False)
    for _ in track(write_duplex_set(folder, speaker, seed, SET_SIZE), "speaking", SET_SIZE, console=console):
        pass


def draw_turn_ends(path: Path, silences: list[Silence]) -> None:
    """Plot the cut-offs of the best policies against their delay, and those of silence alone."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for name, asks_agent in (("silence alone", False), ("agent", True)):
        outcomes = best(sweep(silences, asks_agent))
        delays_ms = [1000 * one.mean_s for one in outcomes]
        axes.step(delays_ms, [100 * one.cut_off for one in outcomes], where="post", marker="o", label=name)
    axes.set(xlabel="mean delay after the end of a turn (ms)", ylabel="pauses taken for an end (%)")
    axes.set_ylim(bottom=0)
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def _console() -> Console:
    return Console(highlight=False, markup=False, emoji=False)


def _row(one: Measured, folder: Path) -> dict[str, object]:
    figures = {name: value for name, value in asdict(one).items() if name != "item"}
    return {"id": str(one.item.folder.relative_to(folder)), "task": one.item.task, **figures}


def _turn_ends_table(silences: list[Silence]) -> Table:
    """Return the cut-offs for each budget of delay, and the delays for each budget of cut-offs."""
    titles = [f"cut off at {1000 * delay_s:.0f} ms" for delay_s in DELAYS_S]
    titles += [f"delay at {share:.0%}" for share in CUT_OFFS]
    last = f"cut off at a median of {1000 * MEDIAN_S:.0f} ms"
    table = _table(["", *titles, last], "When a turn is over: pauses cut off, mean delay at ends")
    for name, asks_agent in (("agent", True), ("silence alone", False)):
        outcomes = sweep(silences, asks_agent)
        cuts = [cut_off_at(outcomes, mean_s=delay_s) for delay_s in DELAYS_S]
        delays = [delay_at(outcomes, share) for share in CUT_OFFS]
        cells = [_share(cut) for cut in cuts]
        cells += ["-" if delay is None else f"{1000 * delay:.0f} ms" for delay in delays]
        table.add_row(name, *cells, _share(cut_off_at(outcomes, median_s=MEDIAN_S)))
    return table


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _own_line(silences: list[Silence]) -> str:
    cut_off, median_s = own_outcome(silences)
    delay = "never" if median_s is None else f"after {1000 * median_s:.0f} ms (median)"
    return f"The agent itself, with its settings: {cut_off:.1%} of pauses cut off; ends decided {delay}"


def _tasks_table(summaries: list[Summary]) -> Table:
    table = _table(["Task", "Count", "Take-over rate", "Latency", "Stops after", "Responds after"])
    for one in summaries:
        times = (one.latency_s, one.stop_s, one.response_s)
        cells = ["-" if value is None else f"{value:.2f} s" for value in times]
        table.add_row(one.task, str(one.count), f"{one.take_over_rate:.2f}", *cells)
    return table


def _table(titles: Sequence[str], title: str | None = None) -> Table:
    """Return an empty table with names in the first column and figures in the others."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column(titles[0], no_wrap=True)
    for name in titles[1:]:
        table.add_column(name, justify="right")
    return table
