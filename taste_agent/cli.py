"""The `taste-agent` command: parses, builds, calls, shows. Nothing heavy is imported before it is needed."""

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from taste_agent.errors import AgentError, ExitCode, Terminated

app = typer.Typer(
    name="taste-agent",
    help="Talk with a full-duplex voice agent in the terminal, or replay a recording through it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
config_app = typer.Typer(help="Show, write or check the settings.", no_args_is_help=True)
app.add_typer(config_app, name="config")

ModelOption = Annotated[
    str | None,
    typer.Option("--model", help="Checkpoint: a shipped name, a folder or a hub id.", metavar="PATH_OR_ID"),
]
DeviceOption = Annotated[str | None, typer.Option("--device", help="cpu, cuda, mps or auto.")]
VoiceOption = Annotated[
    str | None, typer.Option("--voice", help="Fixed voice, or a wav to speak like.", metavar="NAME_OR_WAV")
]
SystemOption = Annotated[str | None, typer.Option("--system", help="System prompt.", metavar="TEXT")]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="Settings file.", metavar="FILE")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="One setting, as often as needed.", metavar="key=value")
]
SeedOption = Annotated[int | None, typer.Option("--seed", help="Same seed, same reply.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Events as JSON lines on stdout.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def _show_version(wanted: bool) -> None:
    if wanted:
        from taste_agent import __version__

        typer.echo(f"taste-agent {__version__}")
        raise typer.Exit()


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Talk with a full-duplex voice agent in the terminal, or replay a recording through it."""


@app.command()
def replay(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Sound files; one session each.")],
    model: ModelOption = None,
    device: DeviceOption = None,
    voice: VoiceOption = None,
    system: SystemOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    seed: SeedOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Output folder; default: one named after the time.", metavar="DIR"),
    ] = None,
    realtime: Annotated[bool | None, typer.Option("--realtime", help="Pace it by the wall clock.")] = None,
    compute_time: Annotated[
        str | None, typer.Option("--compute-time", help="What computing costs: measured, fixed or zero.")
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="The conversation as plain lines, no table.")] = False,
    json_events: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Run sound files through the whole agent on a virtual clock.

    Writes reply.wav, session.wav, events.jsonl, transcript.txt, transcript.json and session.png.

    Example: taste-agent replay question.wav --out answer --seed 1
    """
    from taste_agent.commands.replay import replay_files
    from taste_agent.config_sources import load_settings

    options = {
        "model.checkpoint": model,
        "model.device": device,
        "dialog.voice": voice,
        "dialog.system_prompt": system,
        "sampling.seed": seed,
        "replay.realtime": realtime,
        "replay.compute_time": compute_time,
    }
    loaded = load_settings(config, overrides or (), options)
    replay_files(files, loaded.settings, out, plain_text=text, json_events=json_events)


@config_app.command("show")
def config_show(config: ConfigOption = None, overrides: SetOption = None, debug: DebugOption = False) -> None:
    """Print the settings in effect and where each comes from.

    Example: TASTE_AGENT_SAMPLING__TEXT_TOP_P=0.5 taste-agent config show --config my.yaml
    """
    from taste_agent.config_file import settings_lines
    from taste_agent.config_sources import load_settings

    lines = list(settings_lines(load_settings(config, overrides or ())))
    width = max(len(f"{name}: {value}") for name, value, _ in lines if len(value) < 40)
    for name, value, origin in lines:
        typer.echo(f"{f'{name}: {value}':<{width}}  # {origin}")


@config_app.command("init")
def config_init(
    path: Annotated[Path, typer.Argument(help="File to write.")] = Path("taste-agent.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    debug: DebugOption = False,
) -> None:
    """Write a settings file with every setting, its default and what it does.

    Example: taste-agent config init my.yaml
    """
    from taste_agent.config_file import default_file_text
    from taste_agent.errors import SettingsError

    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(default_file_text())
    except FileExistsError:
        raise SettingsError(f"{path} exists already; name another file or give --force") from None
    except OSError as error:
        raise SettingsError(f"{path} cannot be written: {error.strerror}") from None
    typer.echo(f"wrote {path}")


@config_app.command("check")
def config_check(
    path: Annotated[Path, typer.Argument(help="Settings file.")], debug: DebugOption = False
) -> None:
    """Check a settings file.

    Example: taste-agent config check my.yaml
    """
    from taste_agent.config_sources import load_settings

    changed = load_settings(path, environment={}).origins
    typer.echo(f"{path} is valid; it sets {len(changed)} settings")


def main() -> NoReturn:
    """Entry point: one line on stderr for every error that a person can understand, and the exit code."""
    debug = "--debug" in sys.argv
    signal.signal(signal.SIGTERM, _terminate)
    try:
        app(standalone_mode=False)
        code = int(ExitCode.OK)
    except (KeyboardInterrupt, typer.Abort):
        code = _report("interrupted", ExitCode.INTERRUPTED)
    except Terminated:
        code = _report("terminated", ExitCode.TERMINATED)
    except typer.Exit as stop:
        code = stop.exit_code
    except Exception as error:
        if debug:
            raise
        code = _explain(error)
    sys.exit(code)


def _explain(error: Exception) -> int:
    from click import ClickException

    if isinstance(error, ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, AgentError):
        return _report(str(error), error.exit_code)
    if isinstance(error, BrokenPipeError):
        sys.stderr.close()  # the reader of our output has gone: nothing to tell
        return int(ExitCode.OK)
    if type(error).__module__.startswith("taste_speech"):
        return _report(str(error), ExitCode.FAILED)
    detail = " ".join(str(error).split())
    return _report(f"{type(error).__name__}: {detail} (--debug shows where)", ExitCode.FAILED)


def _report(text: str, code: ExitCode) -> int:
    typer.echo(f"taste-agent: {' '.join(text.split())}", err=True)
    return int(code)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated


if __name__ == "__main__":
    main()
