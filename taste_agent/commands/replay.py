"""Shows a replay while it runs and after it."""

from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from taste_agent.config import AgentSettings
from taste_agent.dialog.brain import Brain
from taste_agent.dialog.brain_loader import load_brain
from taste_agent.dialog.first_use import announce_first_use
from taste_agent.events import Event, Notice
from taste_agent.replay import ReplayResult, default_out, run_replay
from taste_agent.ui.turn_table import turn_table


def replay_files(
    files: list[Path],
    settings: AgentSettings,
    out: Path | None,
    plain_text: bool = False,
    json_events: bool = False,
) -> None:
    """Replays each file into a folder of its own and shows the result on stdout.

    Progress and notices go to stderr.
    """
    base = out or default_out()
    for path in files:
        folder = base if len(files) == 1 else base / path.stem
        result = _replay_one(path, settings, folder, json_events, show_progress=not plain_text)
        if json_events:
            continue
        if plain_text:
            print_plain(result)
        else:
            _print_table(result)


def _replay_one(
    path: Path, settings: AgentSettings, out: Path, json_events: bool, show_progress: bool
) -> ReplayResult:
    errors = Console(stderr=True, highlight=False)
    stdout = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
    with ExitStack() as stack:
        progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            console=errors,
            transient=True,
            disable=not (show_progress and errors.is_terminal),
        )
        stack.enter_context(progress)
        task = progress.add_task(f"Replaying {path.name}", total=None)

        def on_event(event: Event) -> None:
            if json_events:
                stdout.print(event.to_json())
            elif isinstance(event, Notice):
                errors.print(f"{event.level}: {event.text}", markup=False)

        return run_replay(
            path,
            settings,
            out,
            _load_brain,
            on_event,
            lambda done_s, total_s: progress.update(task, completed=done_s, total=max(total_s, done_s)),
        )


def _load_brain(settings: AgentSettings) -> Brain:
    announce_first_use(settings.model)
    return load_brain(settings)


def print_plain(result: ReplayResult) -> None:
    """The conversation, one line a turn."""
    Console(highlight=False, soft_wrap=True, markup=False, emoji=False).print(
        result.transcript.as_text().rstrip("\n")
    )


def _print_table(result: ReplayResult) -> None:
    console = Console(highlight=False)
    console.print(turn_table(result.transcript.turns))
    console.print(
        f"Written to {result.out}: reply.wav, session.wav, session.png, transcript.txt", soft_wrap=True
    )
