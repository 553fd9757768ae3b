"""Shows a replay while it runs and after it."""

from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from taste_agent.audio.files import FileSource
from taste_agent.config import AgentSettings
from taste_agent.dialog.brain import Brain
from taste_agent.dialog.brain_loader import load_brain
from taste_agent.dialog.first_use import announce_first_use
from taste_agent.events import Event, Notice
from taste_agent.replay import ReplayResult, run_replay
from taste_agent.session.recording import recording_folder
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

    Raises:
        AgentError: a file cannot be read, or a folder cannot be written.
    """
    for path in files:  # before the first takes its time
        FileSource(path).close()
    base = out or recording_folder()
    folders = [base] if len(files) == 1 else [base / name for name in _session_names(files)]
    for path, folder in zip(files, folders, strict=True):
        result = _replay_one(path, settings, folder, json_events, show_progress=not plain_text)
        if json_events:
            continue
        if plain_text:
            print_plain(result)
        else:
            _print_table(result)


def _session_names(files: list[Path]) -> list[str]:
    """A name for each file, none twice: the file's without its ending, with a number where it is taken."""
    stems = {path.stem.casefold() for path in files}  # to some file systems, capitals are no difference
    taken: set[str] = set()
    names = []
    for path in files:
        name, number = path.stem, 1
        while name.casefold() in taken or (number > 1 and name.casefold() in stems):
            number += 1
            name = f"{path.stem}-{number}"
        taken.add(name.casefold())
        names.append(name)
    return names


def _replay_one(
    path: Path, settings: AgentSettings, out: Path, json_events: bool, show_progress: bool
) -> ReplayResult:
    errors = Console(stderr=True, highlight=False, emoji=False)
    stdout = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
    with ExitStack() as stack:
        progress = Progress(
            TextColumn("{task.description}", markup=False),
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
    console = Console(highlight=False, emoji=False)
    console.print(turn_table(result.transcript.turns))
    names = "reply.wav, session.wav, session.png, transcript.txt"
    console.print(f"Written to {result.out}: {names}", soft_wrap=True, markup=False)
