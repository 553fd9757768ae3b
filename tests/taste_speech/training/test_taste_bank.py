import copy
import random

import numpy as np
import pytest
import torch

from taste_speech.training.corpus.audio_store import AudioStore
from taste_speech.training.fingerprint import fingerprint
from taste_speech.training.taste_bank import TasteBank, in_manner, is_bank_of, word_codes, write_bank


@pytest.fixture
def store(tmp_path):
    store = AudioStore(tmp_path / "clips")
    manner = {"voice": "ada", "rate": 1.0, "pitch": 1.0, "slope": 0.0, "emphasis": None}
    sound = np.random.default_rng(0).integers(-3000, 3000, 8000, dtype=np.int16)
    store.append(sound, id="one", split="train", text="hello there", **manner)
    return store


def words_of_one_token(_word):
    return [1, 2]


def unchanged(samples):
    return samples


def test_a_bank_says_whose_taste_tokens_it_holds(tmp_path, tiny_model, store):
    path, tower = tmp_path / "tastes.jsonl", copy.deepcopy(tiny_model.audio_tower)
    plain, slow = (in_manner("assistant", manner, [store]) for manner in ("", "slow"))
    assert not is_bank_of(path, tower, [plain])
    write_bank(path, tower, [plain], words_of_one_token, unchanged)
    assert is_bank_of(path, tower, [plain])
    assert not is_bank_of(path, tower, [plain, slow])
    codes = TasteBank(path).codes("assistant", ["hello", "there"], random.Random(0))
    assert [len(code) for code in codes] == [tower.quantizer.num_quantizers] * 2
    with torch.no_grad():
        tower.quantizer.codebooks[0, 0, 0] += 1
    assert not is_bank_of(path, tower, [plain])


def test_a_bank_of_an_earlier_version_does_not_say_so(tmp_path, tiny_model):
    path = tmp_path / "tastes.jsonl"
    path.write_text('{"role": "assistant", "words": ["a"], "codes": [[0, 0, 0]]}\n')
    assert not is_bank_of(path, tiny_model.audio_tower, [])


def test_only_slow_recordings_stand_for_slow_speech(tmp_path, tiny_model, store):
    rng = np.random.default_rng(1)
    for rate in (0.7, 0.95, 1.4):
        sound = rng.integers(-3000, 3000, 8000, dtype=np.int16)
        manner = {"voice": "ada", "rate": rate, "pitch": 1.0, "slope": 0.0, "emphasis": None}
        store.append(sound, id=f"at {rate}", split="train", text=f"go {rate}", **manner)
    slow, fast = (in_manner("assistant", manner, [store]) for manner in ("slow", "fast"))
    assert [clip.rate for _, clip in slow.clips] == [0.7]
    assert [clip.rate for _, clip in fast.clips] == [1.4]
    assert len(in_manner("user", "", [store], at_most=3).clips) == 3
    write_bank(tmp_path / "tastes.jsonl", tiny_model.audio_tower, [slow, fast], words_of_one_token, unchanged)
    bank, words = TasteBank(tmp_path / "tastes.jsonl"), ["go", "1.4"]
    assert None not in bank.codes("assistant", words, random.Random(0), "fast")
    spoken, never = bank.codes("assistant", words, random.Random(0), "slow")
    assert spoken is not None
    assert never is None
    assert bank.codes("assistant", words, random.Random(0)) == [None, None]


def test_mixed_precision_does_not_reach_taste_tokens(tiny_model):
    tower, types = copy.deepcopy(tiny_model.audio_tower), []
    tower.quantizer.project_in.register_forward_hook(
        lambda _module, _given, result: types.append(result.dtype)
    )
    with torch.autocast("cpu", torch.bfloat16):
        word_codes(tower, np.zeros(8000, np.float32), [[1], [2]])
    assert types == [torch.float32]


def test_a_fingerprint_tells_values_and_names_apart():
    layer, other = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    same = copy.deepcopy(layer)
    assert fingerprint(same) == fingerprint(layer) != fingerprint(other)
    assert fingerprint(torch.nn.Sequential(layer)) != fingerprint(layer)
