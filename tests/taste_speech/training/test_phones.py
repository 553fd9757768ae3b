"""Stage `phones`: what the acoustic model begins with and learns from."""

import torch
from safetensors.torch import save_file
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from taste_speech.audio_tower.configuration import TowerConfig
from taste_speech.audio_tower.encoder import encode_features, whisper_config
from taste_speech.configuration_taste import TasteConfig
from taste_speech.recognition.acoustic import AcousticConfig, AcousticModel, load_acoustic_model
from taste_speech.recognition.phones import PHONES
from taste_speech.training.config import StageContext
from taste_speech.training.corpus.recognition_model import DICTIONARY_NAME
from taste_speech.training.stages.phones import (
    OUTPUT_NAME,
    PhoneTargets,
    ctc_loss,
    phone_error_rate,
    tower_weights,
    write_recogniser,
)
from taste_speech.training.stages.tower import Batch

TOWER = TowerConfig(
    d_model=16,
    encoder_layers=3,
    encoder_attention_heads=2,
    encoder_ffn_dim=24,
    decoder_layers=1,
    decoder_attention_heads=2,
    decoder_ffn_dim=24,
    num_mel_bins=8,
    vocab_size=20,
    pad_to_max_source=False,
)


def test_with_the_towers_weights_the_layers_give_what_the_towers_give() -> None:
    torch.manual_seed(0)
    encoder = WhisperEncoder(whisper_config(TOWER, "eager")).eval()
    model = AcousticModel(AcousticConfig(d_model=16, layers=3, heads=2, ffn_dim=24), 8).eval()
    weights = tower_weights(encoder.state_dict(), model)
    weights |= {f"norm.{part}": encoder.state_dict()[f"layer_norm.{part}"] for part in ("weight", "bias")}
    missing = model.load_state_dict(weights, strict=False).missing_keys
    assert missing == ["output.weight", "output.bias"]
    features = torch.randn(1, 30, 8)
    with torch.no_grad():
        keys = encode_features(encoder, features, 3).keys
        expected = model.output(keys).log_softmax(-1)
        torch.testing.assert_close(model(features)[0], expected, atol=1e-4, rtol=1e-3)


def test_of_wider_layers_the_units_with_most_weight_are_kept() -> None:
    encoder = WhisperEncoder(whisper_config(TOWER, "eager"))
    with torch.no_grad():
        encoder.layers[0].fc1.weight[::2] *= 10
    model = AcousticModel(AcousticConfig(d_model=16, layers=1, heads=2, ffn_dim=12), 8)
    weights = tower_weights(encoder.state_dict(), model)
    kept = {tuple(row) for row in weights["layers.0.linear1.weight"].tolist()}
    assert kept == {tuple(row) for row in encoder.layers[0].fc1.weight[::2].tolist()}


def test_texts_become_columns_of_phones() -> None:
    targets = PhoneTargets(["hello rome", "hello"])
    assert [PHONES[column - 1] for column in targets("hello rome")] == ["HH", "AH", "L", "OW", "R", "OW", "M"]


def test_the_recognisers_files_follow_the_text_and_the_weights(tmp_path) -> None:
    context, folder = StageContext(tmp_path, TasteConfig()), tmp_path / "recognition"
    assert not write_recogniser(folder, context, ["hello there"] * 2)
    assert not (folder / OUTPUT_NAME).exists()
    config = AcousticConfig(d_model=16, layers=1, heads=2, ffn_dim=12)
    model = AcousticModel(config, 8)
    save_file(model.state_dict(), context.folder("phones") / OUTPUT_NAME)
    assert write_recogniser(folder, context, ["good morning"] * 2)
    words = {
        line.split()[0].partition("(")[0] for line in (folder / DICTIONARY_NAME).read_text().splitlines()
    }
    assert words == {"good", "morning"}
    written = load_acoustic_model(folder / OUTPUT_NAME, config, 8)
    torch.testing.assert_close(written.output.weight, model.output.weight, atol=0.01, rtol=0.01)


def test_phone_error_rate_counts_edits() -> None:
    assert phone_error_rate([[1, 2, 3, 4]], [[1, 3, 4, 5]]) == 0.5
    assert phone_error_rate([[1, 2], [3]], [[1, 2], [3]]) == 0.0


def test_the_loss_falls_when_the_phones_are_learned() -> None:
    torch.manual_seed(0)
    model = AcousticModel(AcousticConfig(d_model=16, layers=1, heads=2, ffn_dim=16), 8)
    batch = Batch(torch.randn(2, 40, 8), torch.tensor([40, 32]), [[], []], ["", ""], [[0], [1]])
    targets = [[1, 2, 3], [4, 5]]
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(30):
        loss = ctc_loss(model, batch, targets, 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
