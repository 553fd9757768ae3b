"""The options that several commands of `taste-agent` share, and the settings that they stand for."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from taste_agent.config import AgentSettings


def option(flag: str, help_text: str, metavar: str | None = None, **rest: Any) -> Any:
    """Describe a command line option; `rest` goes to `typer.Option`."""
    return typer.Option(flag, help=help_text, metavar=metavar, **rest)


ModelOption = Annotated[
    str | None, option("--model", "Checkpoint: a shipped name, a folder or a hub id.", "PATH_OR_ID")
]
DeviceOption = Annotated[str | None, option("--device", "cpu, cuda, mps or auto.", "DEVICE")]
VoiceOption = Annotated[
    str | None,
    option("--voice", "One of the checkpoint's voices, or a recording of the voice to use.", "NAME_OR_FILE"),
]
SystemOption = Annotated[str | None, option("--system", "System prompt.", "TEXT")]
InputOption = Annotated[
    str | None, option("--input", "Microphone: its name, part of the name, or its number.", "DEVICE")
]
OutputOption = Annotated[
    str | None, option("--output", "Loudspeaker: its name, part of the name, or its number.", "DEVICE")
]
SeedOption = Annotated[
    int | None, option("--seed", "The same seed and thread count give the same reply.", "N")
]
ConfigOption = Annotated[Path | None, option("--config", "Settings file.", "FILE")]
SetOption = Annotated[list[str] | None, option("--set", "Change one setting; may be repeated.", "key=value")]
RayOption = Annotated[
    str, option("--ray", "Address of a Ray cluster, or local to start one on this machine.", "ADDRESS")
]
JsonOption = Annotated[bool, option("--json", "Write events to stdout as JSON lines.")]
TableAsJsonOption = Annotated[bool, option("--json", "Print JSON instead of the table.")]
DebugOption = Annotated[bool, option("--debug", "Show the traceback of an error.")]

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
    """Return the settings in effect.

    Args:
        options: other options, by their names in `_SETTINGS`. None means not given.

    Raises:
        SettingsError: a setting is unknown or not allowed.
    """
    from taste_agent.config.sources import load_settings

    named = {_SETTINGS[name]: value for name, value in options.items()}
    return load_settings(config, overrides or (), named).settings
