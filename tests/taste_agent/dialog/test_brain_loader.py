import gc
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
import soundfile

from taste_agent import chat, cli
from taste_agent.chat import ChatOptions, run_chat
from taste_agent.commands import bench, say, tokens
from taste_agent.config import ModelSettings
from taste_agent.config.sources import load_settings
from taste_agent.dialog import brain_loader
from taste_agent.dialog.brain_loader import (
    HubCheckpoint,
    Machine,
    announce_first_use,
    first_use_lines,
    hub_checkpoint,
    is_downloaded,
    is_on_hub,
    memory_bytes,
)
from taste_agent.errors import AgentError
from taste_speech import checkpoint_files
from tests.taste_agent.fakes import FakeBrain
from tests.taste_agent.speech import RATE, noise


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
    # onnxruntime is needed: it pronounces words that no dictionary has, and else would be loaded in a reply.
    needless = {
        "matplotlib",
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


NAME = "somebody/large-voice"
GB = 10**9
LARGE = HubCheckpoint(6 * GB, 5 * GB, GB // 2, 2_400_000_000, has_recognizer=False)
SMALL = HubCheckpoint(GB // 10, GB // 20, GB // 40, 10_000_000, has_recognizer=True)
CPU = Machine("cpu", "the CPU", "float32", 20 * GB, Path("/cache"), 70 * GB)
GPU = Machine("cuda", "H200", "bfloat16", 100 * GB, Path("/cache"), 70 * GB)


def test_size_and_memory_and_what_to_expect_on_a_cpu():
    first, second = first_use_lines(NAME, LARGE, CPU)
    assert first.startswith(f"first use of {NAME}: downloads 6.0 GB to /cache (70.0 GB free); ")
    assert "its speech recognizer is downloaded in addition" in first
    assert "about 12.1 GB of memory as float32" in second
    assert "the CPU has 20.0 GB free" in second
    assert "answers slowly on a CPU" in second


def test_a_gpu_with_room_is_enough():
    _, second = first_use_lines(NAME, LARGE, GPU)
    assert "about 6.4 GB of memory as bfloat16" in second
    assert second.endswith("H200 has 100.0 GB free: that is enough")


def test_a_small_model_on_a_cpu_is_not_called_slow():
    first, second = first_use_lines(NAME, SMALL, CPU)
    assert "in addition" not in first
    assert second.endswith("20.0 GB free: that is enough")


def test_too_little_memory_or_disk_is_said():
    crowded = Machine("cpu", "the CPU", "float32", 8 * GB, Path("/cache"), 5 * GB)
    first, second = first_use_lines(NAME, LARGE, crowded)
    assert "(5.0 GB free, which is not enough)" in first
    assert "that is not enough; stop with Ctrl-C" in second


def test_what_is_known_is_told_when_the_size_cannot_be_asked():
    first, second = first_use_lines(NAME, "no network", CPU)
    assert (
        first == f"first use of {NAME}: the hub did not give its size (no network); /cache has 70.0 GB free"
    )
    assert "4 GB of memory per billion parameters as float32" in second
    assert "20.0 GB free" in second


def test_a_model_that_is_not_counted_is_taken_for_as_large_as_its_files():
    uncounted = HubCheckpoint(6 * GB, 5 * GB, 0, None, has_recognizer=True)
    assert memory_bytes(uncounted, "bfloat16") == pytest.approx(6 * GB)


def test_only_the_files_that_the_agent_uses_are_counted():
    sizes = {
        "config.json": 1,
        "model-00001-of-00002.safetensors": 10,
        "model-00002-of-00002.safetensors": 20,
        "cosyvoice/voice_generator.pt": 100,
        "asr/config.json": 2,
        "llama_tokenizer/tokenizer.json": 4,
        "README.md": 1000,
        "optimizer.pt": 10000,
    }
    assert hub_checkpoint(sizes, 7) == HubCheckpoint(137, 31, 100, 7, has_recognizer=False)
    assert hub_checkpoint(sizes | {"asr/model.safetensors": 0}, None).has_recognizer


def test_those_files_are_the_ones_that_are_downloaded():
    downloaded = {*checkpoint_files._SMALL_FILES, *checkpoint_files._VOICE_GENERATORS}
    assert downloaded - {"config.json"} <= {*brain_loader.VOICE_FILES, *brain_loader.OTHER_FILES}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("small", False),
        (NAME, True),
        ("./runs/small", False),
        ("/a/b", False),
        ("a/b/c", False),
        ("~/x", False),
    ],
)
def test_what_can_only_be_on_a_hub(name, expected):
    assert is_on_hub(name) is expected


def test_a_local_folder_with_such_a_name_is_not_on_a_hub(tmp_path, monkeypatch):
    (tmp_path / "runs" / "small").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert not is_on_hub("runs/small")


def test_downloaded_means_that_there_are_weights(tmp_path, monkeypatch):
    config = tmp_path / "config.json"
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: str(config))
    assert not is_downloaded(NAME)  # an interrupted download leaves the small files
    (tmp_path / "model-00001-of-00002.safetensors").touch()
    assert is_downloaded(NAME)


def ask(name):
    assert name == NAME
    return LARGE


def test_it_is_told_once_before_the_download_and_never_for_what_is_here(tmp_path, monkeypatch):
    told = []
    assert announce_first_use(ModelSettings(checkpoint=NAME), told.append, ask, lambda _: CPU)
    assert told == first_use_lines(NAME, LARGE, CPU)
    monkeypatch.setattr(brain_loader, "is_downloaded", lambda name: True)
    for checkpoint in ("small", str(tmp_path), NAME):
        settings = ModelSettings(checkpoint=checkpoint)
        assert not announce_first_use(settings, told.append, ask, lambda _: CPU)
    assert len(told) == 2


def test_a_hub_that_cannot_be_reached_does_not_keep_from_loading():
    def fail(name):
        raise RuntimeError("name or service\nnot known. Check your cables.")

    told = []
    assert announce_first_use(ModelSettings(checkpoint=NAME), told.append, fail, lambda _: CPU)
    assert "(name or service not known)" in told[0]
    assert len(told) == 2


def test_the_hub_is_asked_for_sizes_with_a_limit(monkeypatch):
    asked = []

    class Hub:
        def model_info(self, name, **options):
            asked.append((name, options))
            files = [SimpleNamespace(rfilename="model.safetensors", size=8)]
            return SimpleNamespace(siblings=files, safetensors=SimpleNamespace(total=2))

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    assert brain_loader.ask_hub(NAME) == HubCheckpoint(8, 8, 0, 2, has_recognizer=False)
    ((name, options),) = asked
    assert name == NAME
    assert options["files_metadata"]
    assert 0 < options["timeout"] <= 30


def test_this_machine_says_what_it_has():
    machine = brain_loader.this_machine(ModelSettings(checkpoint=NAME, device="cpu"))
    assert (machine.device, machine.number) == ("cpu", "float32")
    assert machine.free_disk_bytes > 0
    if sys.platform == "linux":
        assert machine.free_memory_bytes is not None
        assert machine.free_memory_bytes > 10**8


@pytest.fixture
def hub(monkeypatch):
    """A hub that knows the large checkpoint, which nothing here can load."""

    def load(*arguments, **options):
        raise AgentError("the download begins")

    monkeypatch.setattr(brain_loader, "ask_hub", ask)
    monkeypatch.setattr(brain_loader, "this_machine", lambda settings: CPU)
    for module in (say, tokens):  # what they read first
        monkeypatch.setattr(module.TasteProcessor, "from_pretrained", load)
    monkeypatch.setattr(bench, "run_benchmark", load)
    monkeypatch.setattr("taste_agent.dialog.taste_brain.load_brain", load)
    monkeypatch.setattr("taste_speech.processing_taste.TasteProcessor.from_pretrained", load)
    with open(os.devnull) as nothing:  # pytest's own has no file number
        monkeypatch.setattr("sys.stdin", nothing)
        yield


@pytest.mark.parametrize("command", ["say", "tokens", "replay", "bench", "chat"])
def test_every_command_tells_it_before_it_loads(command, hub, monkeypatch, tmp_path, capfd):
    wav = tmp_path / "question.wav"
    soundfile.write(wav, noise(0.5, -20), RATE)
    out = ["--out", str(tmp_path / "out.wav")]
    arguments = {
        "say": ["hello", "--model", NAME, *out],
        "tokens": [str(wav), "--model", NAME],
        "replay": [str(wav), "--model", NAME, *out],
        "bench": ["--checkpoint", NAME],
        "chat": ["--model", NAME, "--text", "--json"],
    }
    monkeypatch.setattr("sys.argv", ["taste-agent", command, *arguments[command]])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 1
    lines = capfd.readouterr().err.splitlines()
    begins = [i for i, line in enumerate(lines) if line.startswith(f"first use of {NAME}: downloads 6.0 GB")]
    assert len(begins) == 1
    assert "about 12.1 GB of memory" in lines[begins[0] + 1]
    assert "the download begins" in lines[-1]


@pytest.mark.parametrize(("checkpoint", "order"), [(NAME, ["load", "screen"]), ("small", ["screen", "load"])])
def test_chat_opens_its_screen_after_a_download(checkpoint, order, hub, monkeypatch):
    seen = []

    class Screen(chat.PlainChat):
        def loading(self, name):
            seen.append("screen")

        def run(self, engine, figures):
            return "quit"

    def load(settings):
        seen.append("load")
        return FakeBrain()

    monkeypatch.setattr(chat, "PlainChat", Screen)
    settings = load_settings(overrides=[f"model.checkpoint={checkpoint}"], environment={}).settings
    run_chat(settings, ChatOptions(text_only=True, json_events=True), load)
    assert seen == order
