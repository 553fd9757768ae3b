"""The options that several commands of `taste-agent` share, and how they become settings."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from taste_agent.config import AgentSettings

ModelOption = Annotated[
    str | None,
    typer.Option("--model", help="Checkpoint: a shipped name, a folder or a hub id.", metavar="PATH_OR_ID"),
]
DeviceOption = Annotated[
    str | None, typer.Option("--device", help="cpu, cuda, mps or auto.", metavar="DEVICE")
]
VoiceOption = Annotated[
    str | None,
    typer.Option(
        "--voice",
        help="One of the checkpoint's voices, or a recording of the voice to use.",
        metavar="NAME_OR_FILE",
    ),
]
SystemOption = Annotated[str | None, typer.Option("--system", help="System prompt.", metavar="TEXT")]
InputOption = Annotated[
    str | None,
    typer.Option("--input", help="Microphone: its name, part of the name, or its number.", metavar="DEVICE"),
]
OutputOption = Annotated[
    str | None,
    typer.Option(
        "--output", help="Loudspeaker: its name, part of the name, or its number.", metavar="DEVICE"
    ),
]
SeedOption = Annotated[
    int | None,
    typer.Option("--seed", help="The same seed and thread count give the same reply.", metavar="N"),
]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="Settings file.", metavar="FILE")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Change one setting; may be repeated.", metavar="key=value")
]
RayOption = Annotated[
    str,
    typer.Option(
        "--ray", help="Address of a Ray cluster, or local for one of this machine.", metavar="ADDRESS"
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write events to stdout as JSON lines.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]

_SETTINGS = {
    "model": "model.checkpoint",
    "device": "model.device",
    "voice": "dialog.voice",
    "system": "dialog.system_prompt",
    "seed": "sampling.seed",
    "input_device": "devices.input",
    "output_device": "devices.output",
    "realtime": "replay.realtime",
    "compute_time": "replay.compute_time",
}
"""The setting that each option stands for."""


def settings_of(config: Path | None, overrides: list[str] | None, **options: Any) -> "AgentSettings":
    """The settings in effect: the given options (None: not given), `--set`, environment, file, defaults.

    Args:
        config: file of `--config`.
        overrides: all of `--set`.
        options: by the names of `_SETTINGS`.

    Raises:
        SettingsError: a setting is unknown or not allowed.
    """
    from taste_agent.config.sources import load_settings

    named = {_SETTINGS[option]: value for option, value in options.items()}
    return load_settings(config, overrides or (), named).settings
