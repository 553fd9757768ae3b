import gc
import subprocess
import sys

import pytest

from taste_speech.collector_pause import collector_paused

COUNT = """
import gc
seen = []
gc.callbacks.append(lambda phase, info: seen.append(info) if phase == "start" else None)
from taste_speech import TasteForCausalLM
print(len(seen), gc.isenabled())
"""


def test_names_are_imported_without_collections():
    # In a process of its own: here the names have been imported.
    done = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True)
    collections, enabled = done.stdout.split()
    assert int(collections) < 10, "a few before the names are asked for; without the pause some hundred"
    assert enabled == "True"


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with collector_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_collector_is_on_again_after_an_error():
    def fail():
        with collector_paused():
            raise ImportError("no such module")

    with pytest.raises(ImportError):
        fail()
    assert gc.isenabled()
