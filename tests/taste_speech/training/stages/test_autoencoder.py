import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from taste_speech.training.config import StageContext
from taste_speech.training.corpus.audio_store import AudioStore
from taste_speech.training.initial import INITIAL_NAME
from taste_speech.training.loop import LoopSettings, TrainingLoop
from taste_speech.training.recogniser import Recogniser
from taste_speech.training.stages.autoencoder import Settings, run

TEXTS = ("the train leaves", "at half past nine", "i think so", "we walk home")
SETTINGS = Settings(
    loop=LoopSettings(steps=10, learning_rate=1e-3, warmup_steps=1, evaluate_every=10, precision="no"),
    stores=["reply"],
    voice="ada",
    aligned_heads=[(0, 0)],
    neighbours=2,
    text_until=0.2,
    continuous_until=0.5,
    final_from=0.8,
    spelling_steps=2,
    head_steps=3,
    prosody_steps=2,
    spoken_utterances=0,
)


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


def finish_recogniser(context):
    torch.manual_seed(1)
    state = Recogniser(context.config.tower).state_dict()
    save_file(
        {name: value.clone() for name, value in state.items()},
        context.folder("tower") / "recogniser.safetensors",
    )


def trained(context):
    return torch.load(context.folder("autoencoder") / "state.pt", weights_only=True)["module"]


def test_text_then_vectors_then_final_taste_tokens(context):
    finish_recogniser(context)
    run(SETTINGS, context)
    state, folder = trained(context), context.folder("autoencoder")
    assert all(bool(state[name]) for name in ("has_tower", "has_quantizer", "is_final"))
    run(SETTINGS, context)
    taste_ids = load_file(folder / "taste_ids.safetensors")
    assert {key: len(ids) for key, ids in taste_ids.items()} == {
        f"clip-{number}": len(text.split()) for number, text in enumerate(TEXTS)
    }
    assert (folder / "audio_tower.safetensors").exists()
    assert (folder / "speech_decoder.safetensors").exists()


def test_weights_of_a_checkpoint_are_not_taught_to_spell_again(context, tiny_model, monkeypatch):
    decoder = tiny_model.speech_decoder.state_dict()
    given = {
        **{f"tower.{name}": value.clone() for name, value in tiny_model.audio_tower.state_dict().items()},
        **{f"decoder.{name}": value.clone() for name, value in decoder.items()},
        **{name: torch.tensor(True) for name in ("has_tower", "is_final")},
    }
    save_file(given, context.folder("autoencoder") / INITIAL_NAME)
    heads = []

    def look(loop, *_):
        heads.append({name: value.clone() for name, value in loop.module.state_dict().items()})
        loop.save()

    monkeypatch.setattr(TrainingLoop, "run", look)
    run(SETTINGS, context)
    run(SETTINGS.model_copy(update={"head_steps": 6}), context)
    (context.folder("autoencoder") / "state.pt").unlink()
    run(SETTINGS.model_copy(update={"head_steps": 6}), context)
    short, resumed, long = heads
    for name, value in given.items():
        assert torch.equal(long[name], value), name
    for name in ("spelling.weight", "phones.weight", "heard_prosody.weight"):
        assert torch.equal(short[name], resumed[name])
        assert not torch.equal(short[name], long[name])


def test_new_taste_tokens_may_be_learned_with_the_decoder_of_a_checkpoint(context, tiny_model):
    finish_recogniser(context)
    decoder = tiny_model.speech_decoder.state_dict()
    given = {f"decoder.{name}": value.clone() for name, value in decoder.items()}
    save_file(given, context.folder("autoencoder") / INITIAL_NAME)
    run(SETTINGS.model_copy(update={"text_until": 0.0}), context)
    state = trained(context)
    assert all(bool(state[name]) for name in ("has_tower", "has_quantizer", "is_final"))
    assert torch.isfinite(state["heard_prosody.weight"]).all()
    assert (context.folder("autoencoder") / "audio_tower.safetensors").exists()
