"""The acoustic model of phones and its file."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from taste_speech.errors import CheckpointError
from taste_speech.recognition.acoustic import (
    AcousticConfig,
    AcousticModel,
    load_acoustic_model,
    save_acoustic_model,
)
from taste_speech.recognition.phones import PHONES

CONFIG = AcousticConfig(d_model=16, layers=2, heads=2, ffn_dim=24)
BINS = 8


@pytest.fixture(name="model")
def random_model() -> AcousticModel:
    torch.manual_seed(0)
    return AcousticModel(CONFIG, BINS).eval()


def test_rows_are_log_probabilities_at_half_the_frame_rate(model: AcousticModel) -> None:
    log_probs, frames = model(torch.randn(1, 31, BINS))
    assert log_probs.shape == (1, 16, len(PHONES) + 1)
    assert frames.tolist() == [16]
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(1, 16))


def test_a_shorter_item_of_a_batch_comes_out_as_alone(model: AcousticModel) -> None:
    features = torch.randn(2, 40, BINS)
    together, frames = model(features, torch.tensor([40, 21]))
    alone, _ = model(features[1:, :21])
    assert frames.tolist() == [20, 11]
    torch.testing.assert_close(together[1, :11], alone[0], atol=1e-5, rtol=1e-4)


def test_positions_matter_and_begin_where_told(model: AcousticModel) -> None:
    features = torch.randn(1, 20, BINS)
    assert not torch.allclose(model(features)[0], model(features, first_position=50)[0], atol=1e-3)


def test_the_file_keeps_the_model_to_eight_bits(model: AcousticModel, tmp_path: Path) -> None:
    path = tmp_path / "acoustic.safetensors"
    save_acoustic_model(model.state_dict(), path)
    assert load_file(path)["conv1.weight"].dtype == torch.int8
    features = torch.randn(1, 50, BINS)
    loaded = load_acoustic_model(path, CONFIG, BINS)
    torch.testing.assert_close(loaded(features)[0], model(features)[0], atol=0.05, rtol=0.05)
    assert not loaded.training


def test_damaged_files_are_one_clear_error(model: AcousticModel, tmp_path: Path) -> None:
    path = tmp_path / "acoustic.safetensors"
    with pytest.raises(CheckpointError, match="cannot read the acoustic model"):
        load_acoustic_model(path, CONFIG, BINS)
    save_acoustic_model(model.state_dict(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="cannot read the acoustic model"):
        load_acoustic_model(path, CONFIG, BINS)
    path.write_bytes(whole)
    tensors = load_file(path)
    del tensors["norm.bias"]
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match=r"recognition\.backend"):
        load_acoustic_model(path, CONFIG, BINS)
    with pytest.raises(CheckpointError):
        load_acoustic_model(path, AcousticConfig(d_model=16, layers=1, heads=2, ffn_dim=24), BINS)
