import pytest
import torch

from taste_speech.audio_tower.tower import AudioTower
from taste_speech.configuration_sections import JointEncoderSegmenterConfig, QuantizerConfig, TowerConfig

SIZES = {
    "d_model": 16,
    "encoder_layers": 3,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_layers": 2,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 32,
    "num_mel_bins": 8,
    "vocab_size": 50,
    "max_source_positions": 40,
    "max_target_positions": 20,
    "prefix_ids": [46, 47, 48, 49],
    "eos_id": 45,
}


def make_tower(**overrides):
    torch.manual_seed(0)
    tower = AudioTower(
        TowerConfig(**(SIZES | overrides)),
        JointEncoderSegmenterConfig(target_hidden_layer=1),
        QuantizerConfig(dim=16, codebook_dim=6, codebook_size=9, num_quantizers=3),
    )
    with torch.no_grad():
        tower.quantizer.codebooks.normal_()
        for table in (tower.aggregator.embed_tokens, tower.aggregator.embed_positions):
            table.weight.normal_(std=0.5)
    return tower.eval()


@pytest.fixture(scope="session")
def padded_tower():
    return make_tower(pad_to_max_source=True)


@pytest.fixture(scope="session")
def free_tower():
    return make_tower(pad_to_max_source=False)
