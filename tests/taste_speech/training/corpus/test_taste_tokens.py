import copy

import numpy as np
import pytest
import torch

from taste_speech.training.corpus import taste_tokens
from taste_speech.training.corpus.audio_store import AudioStore
from taste_speech.training.corpus.taste_tokens import EncodedStore, heard_by, taste_ids_of


@pytest.fixture
def clips(tmp_path):
    store = AudioStore(tmp_path / "clips")
    manner = {"voice": "ada", "rate": 1.0, "pitch": 1.0, "slope": 0.0, "emphasis": None}
    sound = np.random.default_rng(0).integers(-3000, 3000, 12000, dtype=np.int16)
    for key in ("one", "two"):
        store.append(sound, id=key, split="train", text="a", rate_hz=24000, **manner)
    return [(store, clip) for clip in store]


def tower(tiny_model, seed, layer=1):
    made = copy.deepcopy(tiny_model.audio_tower)
    made.joint = made.joint.model_copy(update={"target_hidden_layer": layer})
    torch.manual_seed(seed)
    torch.nn.init.normal_(made.encoder.conv1.weight)
    return made


def values(folder, clips, made):
    EncodedStore(folder, made).prepare(clips)
    return EncodedStore(folder, made).states("one")[1]


def test_states_are_made_once_for_each_encoder_and_layer(tmp_path, tiny_model, clips):
    folder = tmp_path / "encoded"
    first = values(folder, clips, tower(tiny_model, 0))
    assert len(first) == 25  # half a second of 24 kHz, resampled, at 50 frames a second
    assert EncodedStore(folder, tower(tiny_model, 0)).frames("one") == 25
    made = {path: path.stat().st_mtime_ns for path in folder.rglob("*.npy")}
    assert len(made) == 2
    values(folder, clips, tower(tiny_model, 0))
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.npy")} == made
    other = values(folder, clips, tower(tiny_model, 1))
    assert not torch.equal(first, other)
    assert not torch.equal(other, values(folder, clips, tower(tiny_model, 1, layer=0)))
    torch.testing.assert_close(first, values(folder, clips, tower(tiny_model, 0)))


def test_only_clips_that_are_missing_are_encoded(tmp_path, tiny_model, clips):
    encoded = EncodedStore(tmp_path / "encoded", tower(tiny_model, 0))
    encoded.prepare(clips[:1])
    assert "one" in encoded
    assert "two" not in encoded
    encoded.prepare(clips)
    assert "two" in encoded


def test_taste_tokens_of_words_are_looked_up_anew_only_for_another_tower(
    tmp_path, tiny_phones_model, clips, monkeypatch
):
    calls = []
    monkeypatch.setattr(taste_tokens, "taste_ids_of", lambda *given: calls.append(1) or taste_ids_of(*given))
    made, path = copy.deepcopy(tiny_phones_model.audio_tower), tmp_path / "ids.safetensors"
    first = heard_by(made, clips, path)
    again = heard_by(made, clips, path)
    assert len(calls) == 2
    assert all(torch.equal(again[key], ids) for key, ids in first.items())
    with torch.no_grad():
        made.quantizer.codebooks.normal_()
    other = heard_by(made, clips, path)
    assert len(calls) == 4
    assert not all(torch.equal(other[key], ids) for key, ids in first.items())


def test_there_is_a_taste_token_for_each_word_of_a_clip(tmp_path, tiny_phones_model, tiny_phones_processor):
    store = AudioStore(tmp_path / "clips")
    manner = {"voice": "ada", "rate": 1.0, "pitch": 1.0, "slope": 0.0, "emphasis": None}
    sound = np.random.default_rng(0).integers(-3000, 3000, 16000, dtype=np.int16)
    store.append(sound, id="one", split="train", text="the owl lives", **manner)
    tower = tiny_phones_model.audio_tower
    found = heard_by(tower, [(store, store[0])], tmp_path / "ids.safetensors")["one"]
    assert found.shape == (3, tower.quantizer.num_quantizers)
    samples = sound.astype(np.float32) / 32768
    _, llm = tiny_phones_model.extract_vq(**tiny_phones_processor(samples, 16000, text="the owl lives"))
    assert found.tolist() == llm[0][llm[0, :, 0] >= 0].tolist()
