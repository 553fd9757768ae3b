import gc
import subprocess
import sys

import pytest

from taste_agent.config.sources import load_settings
from taste_agent.dialog import brain_loader
from taste_agent.errors import AgentError


@pytest.fixture
def loaded(monkeypatch):
    """Whether the garbage collector ran while the brain was loaded."""
    seen: list[bool] = []
    monkeypatch.setattr(
        "taste_agent.dialog.taste_brain.load_brain",
        lambda settings, speaks: seen.append(gc.isenabled()) or "a brain",
    )
    yield seen
    gc.unfreeze()


def load():
    return brain_loader.load_brain(load_settings(environment={}).settings)


def test_the_collector_leaves_alone_what_is_loaded(loaded):
    gc.unfreeze()
    assert load() == "a brain"
    assert loaded == [False]
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0


def test_a_collector_that_was_off_stays_off(loaded):
    gc.disable()
    try:
        load()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_collector_is_on_again_after_an_error(monkeypatch):
    def fail(settings, speaks):
        raise AgentError("no such checkpoint")

    monkeypatch.setattr("taste_agent.dialog.taste_brain.load_brain", fail)
    with pytest.raises(AgentError):
        load()
    assert gc.isenabled()
    gc.unfreeze()


LOADED = """
import sys
{code}
print(*sorted(name for name in {names!r} if name in sys.modules))
"""


def imported(code: str, names: set[str]) -> list[str]:
    """Which of the modules are there after the code."""
    command = [sys.executable, "-c", LOADED.format(code=code, names=names)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_a_chat_begins_without_the_model_s_modules():
    code = "import taste_agent.chat, taste_agent.dialog.brain_loader"
    assert imported(code, {"torch", "transformers", "tokenizers", "matplotlib", "soundfile"}) == []


def test_listening_needs_torch_only():
    code = (
        "from taste_agent.config.sources import load_settings\n"
        "from taste_agent.dialog.brain_loader import prepare\n"
        "prepare(load_settings(environment={}).settings)"
    )
    heavy = {"transformers", "tokenizers", "sympy", "scipy", "triton", "torch._dynamo", "torchaudio"}
    assert imported(code, {"torch", *heavy}) == ["torch"]


def test_a_loaded_brain_needs_neither_pictures_nor_the_other_recognizer_nor_training():
    code = (
        "from taste_agent.config.sources import load_settings\n"
        "from taste_agent.dialog.brain_loader import load_brain\n"
        "load_brain(load_settings(environment={}).settings).recognizer()"
    )
    needless = {
        "matplotlib",
        "onnxruntime",
        "livekit",
        "sounddevice",
        "sklearn",
        "vector_quantize_pytorch",
        "taste_speech.training",
        "taste_speech.recognition.whisper",
        "transformers.pipelines",
        "torch._inductor.compile_fx",
    }
    assert imported(code, {"transformers", *needless}) == ["transformers"]
