"""The public names are pinned, and importing them is cheap."""

import gc
import subprocess
import sys

import pytest

import taste_speech
from taste_speech import collector_paused, streaming


def test_public_names_of_the_package() -> None:
    assert set(taste_speech.__all__) == {
        "AudioError",
        "CheckpointError",
        "TasteConfig",
        "TasteError",
        "TasteForCausalLM",
        "TasteProcessor",
        "TextError",
        "VoiceGenerator",
    }
    assert all(getattr(taste_speech, name).__name__ == name for name in taste_speech.__all__)


def test_public_names_of_streaming() -> None:
    assert {"TASTESegment", "taste_tokenize", "streaming_generate", "taste_detokenize"} < set(
        streaming.__all__
    )
    assert {"Conversation", "EmitContext"} < set(streaming.__all__)
    assert all(getattr(streaming, name) is not None for name in streaming.__all__)


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = taste_speech.Nothing
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = streaming.Nothing


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, taste_speech, taste_speech.streaming; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


AUTOMATIC = """
import sys
from taste_speech import TasteForCausalLM, TasteProcessor
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoProcessor
for automatic in (AutoConfig, AutoModel, AutoModelForCausalLM, AutoProcessor):
    print(type(automatic.from_pretrained(sys.argv[1])).__name__)
"""


def test_automatic_classes_find_a_checkpoint_after_the_names_were_imported(tiny_checkpoint: object) -> None:
    # In a process of its own: here other tests have imported all names.
    done = subprocess.run(
        [sys.executable, "-c", AUTOMATIC, str(tiny_checkpoint)], capture_output=True, text=True, check=False
    )
    expected = ["TasteConfig", "TasteForCausalLM", "TasteForCausalLM", "TasteProcessor"]
    assert done.stdout.split() == expected, done.stderr


def test_the_docstring_says_what_makes_the_automatic_classes_know_a_checkpoint() -> None:
    assert "    from taste_speech import TasteForCausalLM, TasteProcessor\n" in (taste_speech.__doc__ or "")
    assert "from taste_speech import TasteForCausalLM, TasteProcessor\n" in AUTOMATIC


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
