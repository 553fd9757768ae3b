"""What the settings of the model say is what is loaded."""

import pytest
import torch

from taste_agent.config import ModelSettings
from taste_agent.dialog import loading
from taste_agent.dialog.loading import choose_device, load_model, number_type, use_threads
from taste_agent.errors import AgentError
from taste_speech.vocoder.voice_generator import VoiceGenerator


def test_number_type_device_and_threads_are_those_of_the_settings(tiny_checkpoint, monkeypatch):
    threads = []
    monkeypatch.setattr(loading.torch, "set_num_threads", threads.append)
    settings = ModelSettings(checkpoint=str(tiny_checkpoint), device="cpu", dtype="bfloat16", threads=3)
    model, _ = load_model(settings)
    assert model.spoken_lm.language_model.dtype == torch.bfloat16
    assert model.device.type == "cpu"
    assert threads == [3]


def test_what_only_listens_does_not_load_a_voice(tiny_checkpoint, monkeypatch):
    loaded = []
    original = VoiceGenerator.from_file

    def spy(*arguments):
        loaded.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(VoiceGenerator, "from_file", spy)
    settings = ModelSettings(checkpoint=str(tiny_checkpoint), device="cpu")
    load_model(settings, speaks=False)
    assert loaded == []
    load_model(settings)
    assert len(loaded) == 1


def test_a_device_that_is_not_there():
    assert choose_device("cpu").type == "cpu"
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(AgentError, match="device cuda is not available here; use one of: cpu"):
        choose_device("cuda")


def test_int8_on_a_gpu_is_refused_before_anything_is_loaded(monkeypatch):
    monkeypatch.setattr(loading, "choose_device", lambda name: torch.device("cuda"))
    with pytest.raises(AgentError, match=r"int8 works on the CPU only.*--device cpu"):
        load_model(ModelSettings(checkpoint="not looked for", dtype="int8"))


@pytest.mark.parametrize(
    ("dtype", "device", "number"),
    [
        ("auto", "cuda", "bfloat16"),
        ("auto", "mps", "float32"),
        ("int8", "cpu", "int8"),
        ("float32", "cuda", "float32"),
    ],
)
def test_auto_depends_on_the_device(dtype, device, number):
    assert number_type(dtype, torch.device(device)) == number


@pytest.mark.parametrize(("able", "number"), [(True, "float16"), (False, "float32")])
def test_auto_depends_on_the_cpu(monkeypatch, able, number):
    monkeypatch.setattr(loading, "can_pack", lambda: able)
    assert number_type("auto", torch.device("cpu")) == number


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_smaller_weights_on_the_cpu_leave_its_arithmetic_and_the_ears_in_float32(tiny_checkpoint, dtype):
    settings = ModelSettings(checkpoint=str(tiny_checkpoint), device="cpu", dtype=dtype)
    model, _ = load_model(settings, speaks=False)
    assert model.spoken_lm.dtype == model.audio_tower.encoder.conv1.weight.dtype == torch.float32
    assert model.spoken_lm.row_runner is not None
    assert not any(isinstance(x, torch.nn.Linear) for x in model.spoken_lm.language_model.model.modules())


class Sized:
    def __init__(self, parameters, kind="cpu"):
        self.parameters, self.device = parameters, torch.device(kind)

    def num_parameters(self):
        return self.parameters


@pytest.mark.parametrize(
    ("model", "threads", "cores", "expected"),
    [
        (Sized(11_000_000), 0, 2, 1),
        (Sized(11_000_000), 0, 1, 1),
        (Sized(11_000_000), 0, 4, 2),
        (Sized(1_900_000_000), 0, 4, 3),
        (Sized(1_900_000_000), 0, 1, 1),
        (Sized(11_000_000, "cuda"), 0, 4, 3),
        (Sized(11_000_000), 2, 2, 2),
        (Sized(1_900_000_000), 4, 4, 4),
    ],
)
def test_a_core_is_left_to_the_sound_unless_told_otherwise(model, threads, cores, expected, monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(loading, "CORES", cores)
    try:
        for _ in range(2):  # a second model in the process gets as many
            use_threads(model, threads)
            assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)
