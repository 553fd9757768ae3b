import random

import pytest
import torch
from safetensors.torch import save_file

from taste_speech.audio_tower.quantizer import ResidualQuantizer
from taste_speech.training.stages import spoken_lm
from taste_speech.training.stages.autoencoder import TOWER_NAME

SETTINGS = spoken_lm.Settings(stores={"assistant": ["reply"]})
WORDS = ["i", "think", "so"]


@pytest.fixture
def tastes(context):
    """Taste tokens of three words by the tower that the stage before has left."""
    quantizer = ResidualQuantizer(context.config.audio_tower_config.kwargs_for_quantizer)

    def codes(tower):
        save_file(tower, context.folder("autoencoder") / TOWER_NAME)
        source = spoken_lm.taste_source(SETTINGS, context, quantizer)
        return source.codes("assistant", WORDS, random.Random(0))

    return codes


def test_taste_tokens_follow_the_tower(tastes, tiny_model, context):
    tower = {name: value.clone() for name, value in tiny_model.audio_tower.state_dict().items()}
    first = tastes(tower)
    path = context.folder("spoken_lm") / "tastes.jsonl"
    written = path.stat().st_mtime_ns
    assert tastes(tower) == first
    assert path.stat().st_mtime_ns == written
    assert tastes(tower | {"quantizer.codebooks": torch.flip(tower["quantizer.codebooks"], [1])}) != first
