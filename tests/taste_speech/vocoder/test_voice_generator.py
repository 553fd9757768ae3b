import json
from pathlib import Path

import pytest
import torch

from taste_speech.errors import CheckpointError
from taste_speech.vocoder.configuration import VoiceGeneratorConfig
from taste_speech.vocoder.voice_generator import VoiceGenerator

GOLDEN = Path(__file__).parents[2] / "golden"


def test_names_and_shapes_of_the_published_size() -> None:
    with torch.device("meta"):
        generator = VoiceGenerator()
    ours = {name: [list(tensor.shape), "float32"] for name, tensor in generator.state_dict().items()}
    assert ours == json.loads((GOLDEN / "manifest_v0.json").read_text())["voice_generator"]


@pytest.fixture
def generator(small_config: VoiceGeneratorConfig) -> VoiceGenerator:
    torch.manual_seed(0)
    return VoiceGenerator(small_config).eval()


def speak(generator: VoiceGenerator, units: int = 9) -> torch.Tensor:
    ids = torch.arange(units)[None] % 30
    seed = torch.Generator().manual_seed(0)
    wave, rate = generator.inference(ids, torch.tensor([units]), torch.ones(1, 6), generator=seed)
    assert rate == 16000
    return wave


def test_waveform_has_the_length_of_the_units(generator: VoiceGenerator) -> None:
    assert speak(generator, 9).shape == (1, 9 * 16000 // 50 // 256 * 256)
    assert speak(generator, 0).shape == (1, 0)
    assert speak(generator, 40).shape == (1, 40 * 320)


@pytest.mark.parametrize("name", ["voice_generator.safetensors", "cosyvoice/voice_generator.pth"])
def test_files_come_back(generator: VoiceGenerator, tmp_path: Path, name: str) -> None:
    path = generator.save_pretrained(tmp_path)
    if name.endswith(".pth"):
        path.unlink()
        (tmp_path / "cosyvoice").mkdir()
        torch.save(generator.state_dict(), tmp_path / name)
    loaded = VoiceGenerator.from_pretrained(tmp_path, generator.config)
    torch.testing.assert_close(speak(loaded), speak(generator), rtol=1e-4, atol=1e-5)


def test_saving_after_folding_keeps_the_weights(generator: VoiceGenerator, tmp_path: Path) -> None:
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    generator.fold_weight_norm().save_pretrained(tmp_path)
    after = VoiceGenerator.from_pretrained(tmp_path, generator.config).state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_tensors_that_do_not_fit_are_named(generator: VoiceGenerator, tmp_path: Path) -> None:
    state = generator.state_dict()
    state.pop("hift.conv_pre.bias")
    state["hift.extra"] = torch.zeros(1)
    state["flow.encoder_proj.bias"] = torch.zeros(3)
    path = tmp_path / "voice_generator.pth"
    torch.save(state, path)
    expected = "missing hift.conv_pre.bias; not expected hift.extra; of another shape flow.encoder_proj.bias"
    with pytest.raises(CheckpointError, match=expected):
        VoiceGenerator.from_file(path, generator.config)


@pytest.mark.parametrize("name", ["voice_generator.safetensors", "voice_generator.pth"])
def test_damaged_file(generator: VoiceGenerator, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"\x80\x02 not a checkpoint")
    with pytest.raises(CheckpointError, match="fetch the file again"):
        VoiceGenerator.from_file(path, generator.config)


@pytest.mark.parametrize("contents", [{"flow": Path("x")}, [torch.zeros(1)]])
def test_other_contents_are_refused(generator: VoiceGenerator, tmp_path: Path, contents: object) -> None:
    path = tmp_path / "voice_generator.pth"
    torch.save(contents, path)
    with pytest.raises(CheckpointError, match="fetch the file again"):
        VoiceGenerator.from_file(path, generator.config)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="has no voice generator; expected one of"):
        VoiceGenerator.from_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="does not exist"):
        VoiceGenerator.from_file(tmp_path / "voice_generator.pth")


def test_wrong_inputs(generator: VoiceGenerator) -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 4\); give one utterance"):
        generator.inference(torch.zeros(2, 4, dtype=torch.long), None, torch.ones(1, 6))
    with pytest.raises(ValueError, match="flow_embedding is missing"):
        generator.inference(torch.zeros(1, 4, dtype=torch.long))


def test_shards_load_as_one_file_does(
    generator: VoiceGenerator, small_config: VoiceGeneratorConfig, tmp_path: Path
) -> None:
    size = sum(p.numel() * 4 for p in generator.parameters())
    first = generator.save_pretrained(tmp_path, max_shard_size=size // 3)
    assert first.name.startswith("voice_generator-00001-of-")
    assert len(list(tmp_path.iterdir())) >= 3
    loaded = VoiceGenerator.from_pretrained(tmp_path, small_config)
    assert all(torch.equal(a, b) for a, b in zip(generator.parameters(), loaded.parameters(), strict=True))


def test_a_missing_shard_is_named(
    generator: VoiceGenerator, small_config: VoiceGeneratorConfig, tmp_path: Path
) -> None:
    generator.save_pretrained(tmp_path, max_shard_size="1MB")
    last = sorted(tmp_path.iterdir())[-1]
    last.unlink()
    with pytest.raises(CheckpointError, match=last.name):
        VoiceGenerator.from_pretrained(tmp_path, small_config)
