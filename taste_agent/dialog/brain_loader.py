"""Loading a brain in such a way that sound can go on meanwhile. Importing this is cheap."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Iterator
from contextlib import contextmanager

from taste_agent.config import AgentSettings
from taste_agent.dialog.brain import Brain
from taste_agent.signals import signals_held
from taste_speech.collector_pause import collector_paused


def prepare(settings: AgentSettings) -> None:
    """Import PyTorch and check the device of the settings.

    This is the one step of loading that keeps all other threads waiting, for a third of a second.

    Raises:
        AgentError: the device is not there, or cannot compute with the number type.
    """
    with _left_out_of_collections(), signals_held():
        importlib.import_module("torch")
    from taste_agent.dialog.torch_device import device_of

    device_of(settings.model)


def load_brain(settings: AgentSettings, speaks: bool = True) -> Brain:
    """Load the checkpoint that the settings name, with its recogniser and, if it `speaks`, its voice.

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
    """Makes no garbage collections, and leaves what was loaded out of all later ones.

    To look through it takes a quarter of a second in which no other thread runs; it would happen now and then
    during the talk.
    """
    with collector_paused():
        try:
            yield
        finally:
            gc.freeze()
