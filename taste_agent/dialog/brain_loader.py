"""Loading a model while sound goes on. Importing this is cheap."""

import gc
import importlib
from collections.abc import Iterator
from contextlib import contextmanager

from taste_agent.config import AgentSettings
from taste_agent.dialog.brain import Brain
from taste_agent.errors import signals_held
from taste_speech import collector_paused


def prepare(settings: AgentSettings) -> None:
    """Import PyTorch and check the device of the settings.

    This is the one step of loading that keeps all other threads waiting, for a third of a second.

    Raises:
        AgentError: the device is not there, or cannot compute with the number type.
    """
    with _left_out_of_collections(), signals_held():
        importlib.import_module("torch")
    from taste_agent.dialog.loading import device_of

    device_of(settings.model)


def load_brain(settings: AgentSettings, speaks: bool = True) -> Brain:
    """Load the checkpoint that the settings name, with its recognizer and, if it `speaks`, its voice.

    Raises:
        TasteError: the checkpoint cannot be loaded.
        AgentError: the device or the voice does not exist.
    """
    with _left_out_of_collections():
        with signals_held():
            from taste_agent.dialog.taste_brain import load_brain as load  # takes seconds

        return load(settings, speaks)


@contextmanager
def _left_out_of_collections() -> Iterator[None]:
    """Make no garbage collections, and leave what is loaded out of all later ones.

    To search it takes a quarter of a second in which no other thread runs, now and then during the talk.
    """
    with collector_paused():
        try:
            yield
        finally:
            gc.freeze()
