"""What can be known to be wrong before anything is loaded, made or computed. Importing this is cheap."""

import os
from pathlib import Path

from taste_agent.config import AgentSettings
from taste_agent.dialog.first_use import is_on_hub
from taste_speech.conversion.hub import find_checkpoint, require_file
from taste_speech.errors import AudioError


def check_names(settings: AgentSettings) -> None:
    """See that there are the checkpoint and the voice that the settings name.

    Raises:
        CheckpointError: there is no such checkpoint here, and the hub is no place for its name.
        AudioError: the voice is the path of a recording that is not there.
    """
    name, voice = settings.model.checkpoint, settings.dialog.voice
    if not is_on_hub(name):
        require_file(find_checkpoint(name), "config.json", name)
    if (os.sep in voice or Path(voice).suffix) and not Path(voice).exists():
        raise AudioError(f"no recording {voice} to speak like; give --voice a file, or a voice's name")
