"""The `taste-agent` command: parses, builds, calls, shows. Nothing heavy is imported before it is needed."""

import locale
import sys
import traceback
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from taste_agent.cli_options import (
    ConfigOption,
    DebugOption,
    DeviceOption,
    InputOption,
    JsonOption,
    ModelOption,
    OutputOption,
    RayOption,
    SeedOption,
    SetOption,
    SystemOption,
    TableAsJsonOption,
    VoiceOption,
    option,
    settings_of,
)
from taste_agent.commands.config import config_app
from taste_agent.errors import AgentError, ExitCode, Terminated, end_process, raise_on_signals

app = typer.Typer(
    name="taste-agent",
    help="Talk with a full-duplex voice agent in the terminal, or replay a recording through it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(config_app, name="config")
bench_app = typer.Typer(invoke_without_command=True)
app.add_typer(bench_app, name="bench")

# Some versions of typer ship their own click and others use the package; this finds the class in both.
_UsageError: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "UsageError")


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
    files: Annotated[list[Path], typer.Argument(metavar="FILE", hidden=True)],
    model: ModelOption = None,
    device: DeviceOption = None,
    voice: VoiceOption = None,
    system: SystemOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    seed: SeedOption = None,
    out: Annotated[
        Path | None,
        option("--out", "Output folder; by default, a new one named after the current time.", "DIR"),
    ] = None,
    realtime: Annotated[bool | None, option("--realtime", "Run in real time.")] = None,
    compute_time: Annotated[
        str | None,
        option(
            "--compute-time",
            "How long computing takes on the virtual clock: measured, fixed or zero.",
            "KIND",
        ),
    ] = None,
    text: Annotated[
        bool, option("--text", "Print the conversation as plain lines instead of a table.")
    ] = False,
    ray: RayOption = "",
    json_events: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Run recordings through the whole agent on a virtual clock.

    FILE is a recording, or - to read one from stdin. Each file is a separate session.

    Writes reply.wav, session.wav, events.jsonl, transcript.txt, transcript.json and session.png.

    Example: taste-agent replay question.wav --out answer --seed 1
    """
    from taste_agent.commands.replay import replay_files

    settings = settings_of(
        config,
        overrides,
        model=model,
        device=device,
        voice=voice,
        system=system,
        seed=seed,
        realtime=realtime,
        compute_time=compute_time,
    )
    replay_files(files, settings, out, plain_text=text, json_events=json_events, ray_address=ray)


@app.command()
def chat(
    model: ModelOption = None,
    device: DeviceOption = None,
    voice: VoiceOption = None,
    system: SystemOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    seed: SeedOption = None,
    input_device: InputOption = None,
    output_device: OutputOption = None,
    text: Annotated[bool, option("--text", "Type only; no sound card is needed.")] = False,
    push_to_talk: Annotated[
        bool, option("--push-to-talk", "Listen only between two presses of the space key.")
    ] = False,
    record: Annotated[bool, option("--record", "Record both sides; only you can read the files.")] = False,
    out: Annotated[Path | None, option("--out", "Folder for recordings and transcripts.", "DIR")] = None,
    json_events: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Talk with the agent through the microphone and the loudspeaker.

    Everything stays on this machine. The bottom of the screen shows the keys. Without a terminal, lines
    on stdin are typed text, and the conversation is printed line by line.

    Example: taste-agent chat --input headset --output headset --record
    """
    from taste_agent.chat import ChatOptions, run_chat
    from taste_agent.dialog.brain_loader import check_names, load_brain, prepare

    settings = settings_of(
        config,
        overrides,
        model=model,
        device=device,
        voice=voice,
        system=system,
        seed=seed,
        input_device=input_device,
        output_device=output_device,
    )
    options = ChatOptions(text, push_to_talk, record, out, json_events)
    check_names(settings)
    run_chat(settings, options, partial(load_brain, speaks=not text), prepare)


@app.command()
def devices(
    input_device: InputOption = None,
    output_device: OutputOption = None,
    tone: Annotated[
        float, option("--tone", "Play a test tone for this long.", "SECONDS", min=0, max=600)
    ] = 0,
    level: Annotated[
        float, option("--level", "Show the microphone's level for this long.", "SECONDS", min=0, max=600)
    ] = 0,
    config: ConfigOption = None,
    overrides: SetOption = None,
    debug: DebugOption = False,
) -> None:
    """List sound devices; try the loudspeaker and the microphone.

    Example: taste-agent devices --output speakers --tone 1 --level 5
    """
    from taste_agent.commands.devices import show_devices

    settings = settings_of(config, overrides, input_device=input_device, output_device=output_device)
    show_devices(settings.devices, tone, level)


@app.command()
def doctor(
    model: ModelOption = None,
    device: DeviceOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    debug: DebugOption = False,
) -> None:
    """Check this machine and say how to fix problems.

    Checks packages, GPU, sound devices, echo cancellation, checkpoint, disk and terminal.

    Example: taste-agent doctor --model small
    """
    from taste_agent.commands.doctor import show_diagnosis

    if not show_diagnosis(settings_of(config, overrides, model=model, device=device)):
        raise typer.Exit(int(ExitCode.FAILED))


@app.command()
def say(
    text: Annotated[str, typer.Argument(metavar="TEXT", hidden=True)],
    model: ModelOption = None,
    device: DeviceOption = None,
    voice: VoiceOption = None,
    output_device: OutputOption = None,
    out: Annotated[Path | None, option("--out", "Write a sound file instead of playing.", "FILE")] = None,
    seed: SeedOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    debug: DebugOption = False,
) -> None:
    """Speak a text with the checkpoint's voice.

    TEXT is what to say; - reads it from stdin.

    Example: taste-agent say "hello there" --out hello.wav
    """
    from taste_agent.commands.say import say_text

    settings = settings_of(
        config, overrides, model=model, device=device, voice=voice, output_device=output_device, seed=seed
    )
    seconds = say_text(text, settings, out)
    typer.echo(f"{seconds:.1f} s of speech" + (f" in {out}" if out else ""))


@app.command()
def tokens(
    file: Annotated[Path, typer.Argument(metavar="FILE", hidden=True)],
    model: ModelOption = None,
    device: DeviceOption = None,
    text: Annotated[
        str | None, option("--text", "What is said; by default, it is recognized.", "TEXT")
    ] = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    json_rows: Annotated[bool, option("--json", "Print a JSON list instead of a table.")] = False,
    debug: DebugOption = False,
) -> None:
    """Show the words of a recording with their taste tokens, times and pitch.

    FILE is a recording of at most 30 s, or - to read one from stdin.

    Example: taste-agent tokens question.wav --json
    """
    from taste_agent.commands.tokens import show_tokens

    show_tokens(file, settings_of(config, overrides, model=model, device=device), text, json_rows)


@bench_app.callback()
def bench(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "--checkpoint",
            help="Checkpoint: a shipped name, a folder or a hub id.",
            metavar="PATH_OR_ID",
        ),
    ] = "small",
    preset: Annotated[
        str | None, option("--preset", "Use random weights instead, in the size of small or v0.", "NAME")
    ] = None,
    device: DeviceOption = None,
    dtype: Annotated[
        str, option("--dtype", "float32, bfloat16, float16, int8 (CPU only) or auto.", "TYPE")
    ] = "auto",
    baseline: Annotated[bool, option("--baseline", "Also run the naive forms and show the ratios.")] = False,
    repeats: Annotated[int, option("--repeats", "Number of timed runs of each stage.", "N", min=1)] = 10,
    threads: Annotated[
        int, option("--threads", "CPU threads; 0: at most two for a small model, else all.", "N", min=0)
    ] = 0,
    compiled: Annotated[bool, option("--compiled", "Compile each step with torch.compile.")] = False,
    out: Annotated[Path | None, option("--out", "Folder for bench.json, .md and .png.", "DIR")] = None,
    as_json: TableAsJsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Measure the speed of every stage and of a whole reply.

    Example: taste-agent bench --baseline --out speed
    """
    if context.invoked_subcommand is not None:
        return
    from taste_agent.bench import BenchOptions

    options = BenchOptions(model, preset, device or "auto", dtype, baseline, repeats, threads, out, compiled)
    from taste_agent.commands.bench import show_benchmark

    show_benchmark(options, as_json)


@bench_app.command()
def duplex(
    folder: Annotated[
        Path,
        typer.Argument(help="A folder of ID/input.wav, as in Full-Duplex-Bench.", metavar="FOLDER"),
    ],
    model: ModelOption = None,
    device: DeviceOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    seed: SeedOption = None,
    make: Annotated[
        bool, option("--make", "First make a test set there: 200 recordings, drawn with --seed.")
    ] = False,
    voices: Annotated[
        Path, option("--voices", "For --make: folder with the voices of the npm package kokoro-js.", "DIR")
    ] = Path("kokoro-js/voices"),
    as_json: TableAsJsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Measure how the agent takes turns, by the definitions of Full-Duplex-Bench v1 and v1.5.

    Example: taste-agent bench duplex full-duplex-bench/v1.0
    """
    from taste_agent.commands.bench import make_set, show_duplex

    if make:
        make_set(folder, voices, seed or 0)
    show_duplex(folder, settings_of(config, overrides, model=model, device=device, seed=seed), as_json)


@app.command()
def serve(
    host: Annotated[
        str, option("--host", "Address to listen on; any but 127.0.0.1 needs --token.", "HOST")
    ] = "127.0.0.1",
    port: Annotated[
        int, option("--port", "Port to listen on; 0 picks a free one.", "N", min=0, max=65535)
    ] = 8788,
    max_sessions: Annotated[
        int | None,
        option(
            "--max-sessions",
            "Conversations at once; by default, as many as this machine can hold in real time.",
            "N",
            min=1,
        ),
    ] = None,
    token: Annotated[
        str, option("--token", "Secret that clients must send.", "SECRET", envvar="TASTE_SERVE_TOKEN")
    ] = "",
    origins: Annotated[
        list[str] | None, option("--allow-origin", "Another origin whose pages may connect.", "ORIGIN")
    ] = None,
    session_s: Annotated[
        float, option("--session-limit", "Longest duration of a session.", "SECONDS", min=1)
    ] = 3600,
    idle_s: Annotated[
        float, option("--idle-limit", "End a session after this long without speech.", "SECONDS", min=1)
    ] = 600,
    ray: RayOption = "",
    replicas: Annotated[
        str, option("--replicas", "Fewest and most replicas on the cluster.", "MIN:MAX")
    ] = "1:1",
    model: ModelOption = None,
    device: DeviceOption = None,
    voice: VoiceOption = None,
    system: SystemOption = None,
    seed: SeedOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    debug: DebugOption = False,
) -> None:
    """Serve the agent to browsers and to programs that speak the OpenAI Realtime protocol.

    Requires the extra packages of `taste-agent[serve]`. The page is at /, the protocol at /v1/realtime.

    Example: taste-agent serve --port 8788 --max-sessions 2
    """
    from taste_agent.commands.serve import serve_sessions
    from taste_agent.serve.access import Access
    from taste_agent.serve.limits import Limits, ServeOptions

    settings = settings_of(
        config, overrides, model=model, device=device, voice=voice, system=system, seed=seed
    )
    access, limits = Access(host, token, tuple(origins or ())), Limits(session_s, idle_s)
    serve_sessions(settings, ServeOptions(access, port, max_sessions, limits), ray, replicas)


def main() -> NoReturn:
    """Run the command, report an error in one line on stderr, and exit.

    If the reader of stdout has gone (`| head`), typer and rich end the program silently with a failure,
    because not all output was written.
    """
    debug = "--debug" in sys.argv
    raise_on_signals()
    _draw_as_the_terminal_can()
    try:
        code = app(prog_name="taste-agent", standalone_mode=False) or int(ExitCode.OK)
        if code == ExitCode.INTERRUPTED:  # some versions of typer turn Ctrl-C into a return value
            raise KeyboardInterrupt
    except (KeyboardInterrupt, typer.Abort):
        code = _report("interrupted", ExitCode.INTERRUPTED)
    except Terminated:
        code = _report("terminated", ExitCode.TERMINATED)
    except typer.Exit as stop:
        code = stop.exit_code
    except Exception as error:
        if debug:
            traceback.print_exception(error)
        code = _explain(error, debug)
    end_process(int(code))


def _draw_as_the_terminal_can() -> None:
    """Draw tables in ASCII on a terminal whose locale is not UTF-8."""
    for stream in (sys.stdout, sys.stderr):
        if "utf" not in locale.getencoding().lower() and stream is not None and stream.isatty():
            stream.reconfigure(encoding="ascii", errors="replace")  # type: ignore[union-attr]


def _explain(error: Exception, debug: bool) -> int:
    if isinstance(error, _UsageError):
        if not error.format_message():  # no command was given, and the help was shown
            return int(ExitCode.USAGE)
        command = error.ctx.command_path if error.ctx else "taste-agent"
        return _report(f"{error.format_message().rstrip('.')}; see {command} --help", ExitCode.USAGE)
    if isinstance(error, AgentError):
        return _report(str(error), error.exit_code)
    if type(error).__module__.startswith("taste_speech"):
        return _report(str(error), ExitCode.FAILED)
    detail = " ".join(str(error).split())
    hint = "" if debug else " (--debug shows where)"
    return _report(f"{type(error).__name__}: {detail}{hint}", ExitCode.FAILED)


def _report(text: str, code: ExitCode) -> int:
    typer.echo(f"taste-agent: {' '.join(text.split())}", err=True)
    return int(code)
