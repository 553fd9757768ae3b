import json
from pathlib import Path

import pytest
import torch

from taste_speech.vocoder.configuration import VoiceGeneratorConfig

GOLDEN = Path(__file__).parents[2] / "golden"

SMALL = {
    "unit_vocab_size": 30,
    "sampling_rate_hz": 16000,
    "hop_samples": 256,
    "mel_bins": 20,
    "speaker_embed_dim": 6,
    "flow": {
        "encoder": {
            "input_size": 16,
            "output_size": 16,
            "attention_heads": 2,
            "linear_units": 16,
            "num_blocks": 1,
        },
        "estimator": {
            "channels": [16, 24],
            "time_embed_dim": 16,
            "time_mlp_dim": 16,
            "num_transformers": 1,
            "num_mid_blocks": 1,
            "num_heads": 2,
            "head_dim": 8,
        },
        "num_steps": 3,
    },
    "hift": {
        "base_channels": 16,
        "upsample_rates": [8],
        "upsample_kernel_sizes": [16],
        "istft_n_fft": 128,
        "istft_hop": 32,
        "resblock_kernel_sizes": [3],
        "resblock_dilations": [[1, 3]],
        "source_resblock_kernel_sizes": [7],
        "source_resblock_dilations": [[1, 3]],
        "f0_channels": 16,
        "f0_layers": 2,
    },
}


@pytest.fixture
def small_config() -> VoiceGeneratorConfig:
    return VoiceGeneratorConfig.model_validate(SMALL)


def seeded_part(part: str) -> dict[str, torch.Tensor]:
    """Golden weights of `flow` or `hift`."""
    from tests.golden.seeded_weights import seeded_tensor

    manifest = json.loads((GOLDEN / "manifest.json").read_text())["voice_generator"]
    return {
        name.removeprefix(f"{part}."): seeded_tensor(f"voice_generator.{name}", tuple(shape))
        for name, (shape, _) in manifest.items()
        if name.startswith(f"{part}.")
    }
