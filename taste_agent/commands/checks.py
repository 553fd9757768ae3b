"""Checks of names in the settings, before anything is loaded. Importing this is cheap."""

import os
from pathlib import Path

from taste_agent.config import AgentSettings
from taste_agent.dialog.brain_loader import is_on_hub
from taste_speech.conversion.hub import find_checkpoint, require_file
from taste_speech.errors import AudioError


def check_names(settings: AgentSettings) -> None:
    """Check that the checkpoint and the voice in the settings exist.

    Raises:
        CheckpointError: there is no such checkpoint, and its name cannot be one on the hub.
        AudioError: the voice is neither an existing recording nor one of the checkpoint's voices.
    """
    name, voice = settings.model.checkpoint, settings.dialog.voice
    voices: list[str] = []
    if not is_on_hub(name):
        folder = find_checkpoint(name)
        require_file(folder, "config.json", name)
        voices = _voices(folder)
    if (os.sep in voice or Path(voice).suffix) and not Path(voice).exists():
        raise AudioError(f"the recording {voice} does not exist; give --voice a recording or a voice's name")
    if voices and voice and voice not in voices and not Path(voice).exists():
        raise AudioError(
            f"no voice and no audio file {voice!r}; voices of this checkpoint: {', '.join(sorted(voices))}"
        )


def _voices(folder: Path) -> list[str]:
    """Return the names of a checkpoint's fixed voices, or none if the file is damaged or missing."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / "voices.safetensors", framework="np") as file:
            return list(file.keys())
    except (OSError, SafetensorError):
        return []
