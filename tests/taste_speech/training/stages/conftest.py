"""A run whose first stages have left what the others need."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from taste_speech.training.config import StageContext
from taste_speech.training.corpus.audio_store import AudioStore

TEXTS = ("the train leaves", "at half past nine", "i think so", "we walk home")


@pytest.fixture
def context(tmp_path, tiny_checkpoint, tiny_model):
    """A run whose earlier stages have left what this one needs."""
    rng, context = np.random.default_rng(0), StageContext(tmp_path, tiny_model.config)
    store, units, times = AudioStore(context.folder("corpus") / "reply"), {}, {}
    manner = {"voice": "ada", "rate": 1.0, "pitch": 1.0, "slope": 0.0, "emphasis": None}
    for number, text in enumerate(TEXTS):
        key, split = f"clip-{number}", "valid" if number == 3 else "train"
        sound = rng.integers(-3000, 3000, 16000, dtype=np.int16)
        store.append(sound, id=key, split=split, text=text, **manner)
        units[key] = torch.from_numpy(rng.integers(0, 64, 50))
        ends = np.linspace(0, 1, len(text.split()) + 1)[1:].tolist()
        times[key] = {"word_ends": ends, "phones": [["aa", end] for end in ends]}
    save_file(units, context.folder("units") / "units.safetensors")
    centroids = torch.randn(64, 10, generator=torch.Generator().manual_seed(0))
    # 15 voiced spectra at four levels of pitch, and four unvoiced ones.
    centroids[:, -1] = torch.arange(64) < 60
    quantizer = {"centroids": centroids, "voiced": torch.zeros(15, 8), "pitch_edges": torch.zeros(3)}
    save_file(quantizer, context.folder("units") / "quantizer.safetensors")
    shutil.copytree(tiny_checkpoint / "asr", context.folder("tokenizers") / "asr")
    (context.folder("autoencoder") / "times.json").write_text(json.dumps(times))
    (context.folder("autoencoder") / "lexicon.json").write_text(json.dumps([[[5, 6], [1, 2]], [[7], [3]]]))
    return context
