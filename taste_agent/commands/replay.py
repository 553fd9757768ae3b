"""`taste-agent replay`: shows the progress and the result of replays."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from taste_agent.config import AgentSettings
from taste_agent.dialog.brain import Brain
from taste_agent.dialog.brain_loader import announce_first_use, check_names, load_brain
from taste_agent.errors import AgentError
from taste_agent.events import Event, Notice
from taste_agent.replay import NAMES, ReplayResult, run_replay
from taste_agent.session.recording import recording_folder
from taste_agent.ui.tables import turn_table
from taste_speech.sound_file import SoundFile


def replay_files(
    files: list[Path],
    settings: AgentSettings,
    out: Path | None,
    plain_text: bool = False,
    json_events: bool = False,
    ray_address: str = "",
) -> None:
    """Replay each file into its own folder and show the result on stdout.

    With a `ray_address`, the files are spread over a Ray cluster; `local` starts one on this machine.
    Progress and notices go to stderr, and so does the folder with `plain_text` or `json_events`.

    Raises:
        AudioError: a file cannot be read.
        TasteError: the model cannot be loaded.
        AgentError: a folder cannot be written.
    """
    check_names(settings)
    sounds = [SoundFile(path) for path in files]  # all are checked before the first is replayed
    base = out or recording_folder()
    names = _session_names([Path(sound.name) for sound in sounds])
    folders = [base] if len(files) == 1 else [base / name for name in names]
    if ray_address and json_events:
        raise AgentError("--json cannot print the events of a cluster; omit --json or --ray")
    results = (
        _replay_on_ray(ray_address, sounds, settings, folders, show_progress=not plain_text)
        if ray_address
        else (
            _replay_one(sound, settings, folder, json_events, show_progress=not plain_text)
            for sound, folder in zip(sounds, folders, strict=True)
        )
    )
    for sound, result in zip(sounds, results, strict=True):
        if plain_text:
            title = [f"{sound.name}:"] if len(files) > 1 else []
            for line in title + result.transcript.as_text().splitlines():
                _plain_console().print(line)
        elif not json_events and result.transcript.turns:
            tables = Console(highlight=False, emoji=False)
            tables.print(turn_table(result.transcript.turns, tables.width))
        console = _plain_console(stderr=plain_text or json_events)
        if not result.transcript.turns:
            console.print(
                f"no words were heard in {sound.name}, whose peak is {sound.loudest_dbfs:.0f} dBFS; "
                "if somebody speaks in it, record it louder and closer, or lower vad.above_noise_db"
            )
        console.print(f"Written to {result.out}: {', '.join(NAMES)}")


def _session_names(files: list[Path]) -> list[str]:
    """Return a unique name for each file: its name without suffix, and a number if that is taken."""
    stems = {path.stem.casefold() for path in files}  # some file systems ignore case
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
    sound: SoundFile, settings: AgentSettings, out: Path, json_events: bool, show_progress: bool
) -> ReplayResult:
    errors = Console(stderr=True, highlight=False, emoji=False)
    stdout = _plain_console()
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
        task = progress.add_task(f"Replaying {sound.name}", total=None)

        def on_event(event: Event) -> None:
            if json_events:
                stdout.print(event.to_json())
            elif isinstance(event, Notice):
                errors.print(f"{event.level}: {event.text}", markup=False, soft_wrap=True)

        return run_replay(
            sound,
            settings,
            out,
            _load_brain,
            on_event,
            lambda done_s, total_s: progress.update(task, completed=done_s, total=max(total_s, done_s)),
        )


def _replay_on_ray(
    address: str, sounds: list[SoundFile], settings: AgentSettings, folders: list[Path], show_progress: bool
) -> Iterator[ReplayResult]:
    from taste_agent.serve.mind import load_served_model
    from taste_agent.serve.ray_cluster import connect
    from taste_agent.serve.ray_replay import replay_on_ray

    announce_first_use(settings.model)
    errors = Console(stderr=True, highlight=False, emoji=False)
    progress = Progress(console=errors, transient=True, disable=not (show_progress and errors.is_terminal))
    with progress:
        task = progress.add_task(f"Replaying {len(sounds)} recordings", total=len(sounds))
        for result in replay_on_ray(connect(address), sounds, settings, folders, load_served_model):
            progress.advance(task)
            yield result


def _load_brain(settings: AgentSettings) -> Brain:
    announce_first_use(settings.model)
    return load_brain(settings)


def _plain_console(stderr: bool = False) -> Console:
    """Return a console that prints lines of any length unchanged."""
    return Console(stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)
