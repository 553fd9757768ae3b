"""Runs the agent on a folder of Full-Duplex-Bench and shows how it takes turns."""

import json
from dataclasses import asdict
from pathlib import Path

from matplotlib.figure import Figure
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from taste_agent.commands.checks import check_names
from taste_agent.config import AgentSettings
from taste_agent.dialog.brain_loader import load_brain
from taste_agent.dialog.first_use import announce_first_use
from taste_agent.duplex.items import Item, find_items
from taste_agent.duplex.run import Measured, Summary, run_items, summarize
from taste_agent.duplex.turn_ends import Silence, cut_off_at, delay_at, sweep
from taste_agent.errors import AgentError
from taste_agent.output_folder import check_writable

RESULTS_NAME = "taste-agent.json"
PICTURE_NAME = "turn_ends.png"
SET_SIZE = 200
DELAYS_S, CUT_OFFS = (0.3, 0.6, 1.0), (0.05, 0.1)
"""Budgets, in seconds of delay and in shares of pauses."""


def show_duplex(folder: Path, settings: AgentSettings, as_json: bool = False) -> None:
    """Print the figures of each task, and write those of each item to `taste-agent.json` in the folder.

    Raises:
        AgentError: the folder has no items, or cannot be written.
        AudioError: an input cannot be read.
        TasteError: the model cannot be loaded.
    """
    check_names(settings)
    items = find_items(folder)
    check_writable(folder)
    announce_first_use(settings.model)
    errors = Console(stderr=True, highlight=False)
    running = run_items(items, settings, load_brain)
    measured = list(track(running, f"{len(items)} recordings", len(items), console=errors))
    summaries = summarize(measured)
    result = {"tasks": [asdict(one) for one in summaries], "items": [_row(one, folder) for one in measured]}
    (folder / RESULTS_NAME).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    console = Console(highlight=False, markup=False, emoji=False)
    if as_json:
        console.print_json(json.dumps(result))
        return
    console.print(_table(summaries))
    silences = [one.silence for one in measured if one.silence is not None]
    if len({silence.duration_s is None for silence in silences}) == 2:  # pauses and ends
        console.print(_turn_ends_table(silences))
        draw_turn_ends(folder / PICTURE_NAME, silences)
        console.print(f"The trade-off as a picture: {folder / PICTURE_NAME}")
    console.print(f"Written beside each input: output.wav, output.json. All figures: {folder / RESULTS_NAME}")


def make_set(folder: Path, voices: Path, seed: int) -> None:
    """Write 200 recordings by seed into a folder that has none, spoken by voices that nothing is trained on.

    Raises:
        AgentError: the folder has some already, or what speaks is not installed.
        TasteError: a voice is missing.
    """
    if any(folder.rglob("input.wav")):
        raise AgentError(f"{folder} holds recordings already; name a new folder to make a set in")
    try:
        from taste_speech.pretrained.packaged import cache_folder
        from taste_speech.training.corpus import Listeners, ReplyVoice
        from taste_speech.training.evaluation.duplex_set import write_duplex_set

        networks = cache_folder()
        speaker = Listeners(networks, voices, ReplyVoice(networks))
    except ImportError as error:
        raise AgentError(
            f"making a set needs {error.name}; in a clone of the repository run: "
            "pip install -e '.[train,listeners]'"
        ) from error
    console = Console(stderr=True, highlight=False)
    for _ in track(write_duplex_set(folder, speaker, seed, SET_SIZE), "speaking", SET_SIZE, console=console):
        pass


def _row(one: Measured, folder: Path) -> dict[str, object]:
    item: Item = one.item
    figures = {name: value for name, value in asdict(one).items() if name != "item"}
    return {"id": str(item.folder.relative_to(folder)), "task": item.task, **figures}


def _turn_ends_table(silences: list[Silence]) -> Table:
    """Shares of people cut off at a budget of delay, and delays at a budget of cut-offs."""
    table = Table(title="When a turn is over", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    for delay_s in DELAYS_S:
        table.add_column(f"cut off at {1000 * delay_s:.0f} ms", justify="right")
    for share in CUT_OFFS:
        table.add_column(f"delay at {share:.0%}", justify="right")
    for name, asks_model in (("model", True), ("silence alone", False)):
        outcomes = sweep(silences, asks_model)
        cuts = [cut_off_at(outcomes, delay_s) for delay_s in DELAYS_S]
        delays = [delay_at(outcomes, share) for share in CUT_OFFS]
        cells = ["-" if cut is None else f"{cut:.1%}" for cut in cuts]
        cells += ["-" if delay_s is None else f"{1000 * delay_s:.0f} ms" for delay_s in delays]
        table.add_row(name, *cells)
    return table


def draw_turn_ends(path: Path, silences: list[Silence]) -> None:
    """Draw what the best policies cut off against the delay that they have, with and without the model."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for name, asks_model in (("silence alone", False), ("model", True)):
        outcomes = sweep(silences, asks_model)
        delays_ms = [1000 * one.delay_s for one in outcomes]
        axes.step(delays_ms, [100 * one.cut_off for one in outcomes], where="post", marker="o", label=name)
    axes.set(xlabel="delay after the end of a turn, mean (ms)", ylabel="pauses taken for an end (%)")
    axes.set_ylim(bottom=0)
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def _table(summaries: list[Summary]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for title in ("Task", "Count", "Take-over rate", "Latency", "Stops after", "Responds after"):
        table.add_column(title, justify="left" if title == "Task" else "right", no_wrap=title == "Task")
    for one in summaries:
        times = (one.latency_s, one.stop_s, one.response_s)
        cells = ["-" if value is None else f"{value:.2f} s" for value in times]
        table.add_row(one.task, str(one.count), f"{one.take_over_rate:.2f}", *cells)
    return table
