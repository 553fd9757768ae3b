import json

import numpy as np
import pytest
import torch
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from taste_speech.audio_tower.encoder import whisper_config
from taste_speech.training.corpus.audio_store import AudioStore
from taste_speech.training.encoded_store import EncodedStore


@pytest.fixture
def clips(tmp_path):
    store = AudioStore(tmp_path / "clips")
    manner = {"voice": "ada", "rate": 1.0, "pitch": 1.0, "slope": 0.0, "emphasis": None}
    sound = np.random.default_rng(0).integers(-3000, 3000, 8000, dtype=np.int16)
    for key in ("one", "two"):
        store.append(sound, id=key, split="train", text="a", **manner)
    return [(store, clip) for clip in store]


def encoder(config, seed):
    torch.manual_seed(seed)
    return WhisperEncoder(whisper_config(config))


def values(folder, config, clips, model, layer=1):
    store = EncodedStore(folder, config.d_model)
    store.prepare(clips, model, config, layer)
    return EncodedStore(folder, config.d_model).states("one")[1]


def test_states_are_renewed_for_another_encoder_or_layer_only(tmp_path, tiny_model, clips, monkeypatch):
    config, folder = tiny_model.config.tower, tmp_path / "encoded"
    first = values(folder, config, clips, encoder(config, 0))
    (folder / "states.f16").touch()
    index = json.loads((folder / "index.json").read_text())
    values(folder, config, clips[:1], encoder(config, 0))
    assert json.loads((folder / "index.json").read_text()) == index
    other = values(folder, config, clips, encoder(config, 1))
    assert not torch.equal(first, other)
    assert not torch.equal(other, values(folder, config, clips, encoder(config, 1), layer=0))
    torch.testing.assert_close(first, values(folder, config, clips, encoder(config, 0)))


def test_an_index_that_does_not_say_whose_states_it_tells_of_counts_as_none(tmp_path, tiny_model, clips):
    config, folder = tiny_model.config.tower, tmp_path / "encoded"
    values(folder, config, clips, encoder(config, 0))
    index = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps(index["offsets"]))
    assert EncodedStore(folder, config.d_model).offsets == {}
