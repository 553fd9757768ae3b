import copy
import os
import signal

import pytest
import torch
from safetensors.torch import load_file

from taste_speech.training.autoencoder import taste_tokens
from taste_speech.training.autoencoder.taste_tokens import EncodedStore
from taste_speech.training.autoencoder.utterances import load_utterances
from taste_speech.training.corpus.audio_store import AudioStore
from taste_speech.training.loop import LoopSettings, StoppedError
from taste_speech.training.stages import autoencoder
from taste_speech.training.stages.autoencoder import TOWER_NAME, Settings, Trainer, final_tower, run

SETTINGS = Settings(
    loop=LoopSettings(steps=10, learning_rate=1e-3, warmup_steps=1, evaluate_every=10, precision="no"),
    stores=["reply"],
    voice="ada",
    aligned_heads=[(0, 0)],
    neighbors=2,
    text_until=0.2,
    continuous_until=0.5,
    final_from=0.8,
    heard_part=1.0,
    prosody_steps=2,
)


def stop_in_step(number, monkeypatch):
    """Tell the process to stop while it computes the losses of a step."""
    losses = Trainer.losses

    def stopping(self, step, generator):
        if step == number:
            os.kill(os.getpid(), signal.SIGTERM)
        return losses(self, step, generator)

    monkeypatch.setattr(Trainer, "losses", stopping)


def trained(context):
    return torch.load(context.folder("autoencoder") / "state.pt", weights_only=True)["module"]


def test_text_then_vectors_then_final_taste_tokens(context, tiny_model, monkeypatch):
    guesses, guess = [], autoencoder.guess
    monkeypatch.setattr(autoencoder, "guess", lambda *given: guesses.append(guess(*given)) or guesses[-1])
    run(SETTINGS.model_copy(update={"guessed_part": 1.0}), context)
    assert len(guesses) == 2  # of 10 steps those from `final_from` on
    state, folder = trained(context), context.folder("autoencoder")
    tower = load_file(folder / TOWER_NAME)
    assert all(bool(state[name]) for name in ("has_tower", "has_quantizer", "is_final"))
    for name, given in tiny_model.audio_tower.encoder.state_dict().items():
        assert torch.equal(tower[f"encoder.{name}"], given)
    run(SETTINGS, context)
    taste_ids = load_file(folder / "taste_ids.safetensors")
    assert {key: len(ids) for key, ids in taste_ids.items()} == {
        clip.id: len(clip.text.split()) for clip in AudioStore(context.folder("corpus") / "reply")
    }
    assert (folder / "audio_tower.safetensors").exists()
    assert (folder / "speech_decoder.safetensors").exists()


def test_only_a_part_of_the_training_utterances_is_encoded(context, monkeypatch):
    monkeypatch.setattr(autoencoder, "is_heard", lambda key, part: key == "clip-1")
    run(SETTINGS, context)
    encoded = EncodedStore(context.folder("autoencoder") / "encoded", context.config.tower.d_model)
    assert set(encoded.offsets) == {"clip-1", "clip-3"}  # the latter is for validation
    assert set(load_file(context.folder("autoencoder") / "taste_ids.safetensors")) == {"clip-1", "clip-3"}


def test_the_part_that_is_encoded_is_about_as_large_as_asked_for():
    heard = [autoencoder.is_heard(f"clip-{number}", 0.35) for number in range(2000)]
    assert 0.31 < sum(heard) / len(heard) < 0.39


def test_a_run_that_was_stopped_leaves_its_decoder_but_no_final_tower(context, monkeypatch):
    stop_in_step(6, monkeypatch)
    with pytest.raises(StoppedError):
        run(SETTINGS, context)
    folder = context.folder("autoencoder")
    assert (folder / "speech_decoder.safetensors").exists()
    assert not (folder / TOWER_NAME).exists()
    assert final_tower(context) is None
    model = autoencoder.trained_autoencoder(SETTINGS, context)
    assert torch.equal(model.decoder.llm_decoder.weight, trained(context)["decoder.llm_decoder.weight"])


def test_a_run_stopped_in_its_text_goes_on_with_what_it_hears(context, tiny_model, monkeypatch):
    stop_in_step(1, monkeypatch)
    with pytest.raises(StoppedError):
        run(SETTINGS, context)
    assert not bool(trained(context)["has_tower"])
    monkeypatch.undo()
    given = tiny_model.audio_tower.encoder.state_dict()
    monkeypatch.setattr(autoencoder, "pretrained_encoder", lambda: given)
    run(SETTINGS, context)
    assert bool(trained(context)["is_final"])


def test_at_the_end_of_the_budget_taste_tokens_are_final(context):
    run(SETTINGS.model_copy(update={"final_from": 1.0}), context)
    assert final_tower(context) is not None


def test_taste_tokens_are_looked_up_anew_only_for_another_tower(context, tiny_model, monkeypatch):
    calls, look_up = [], taste_tokens._taste_ids
    monkeypatch.setattr(taste_tokens, "_taste_ids", lambda *given: calls.append(1) or look_up(*given))
    utterances, clips = load_utterances(context, ["reply"])
    tower = copy.deepcopy(tiny_model.audio_tower)
    encoded = EncodedStore(context.folder("autoencoder") / "encoded", tower.config.d_model)
    encoded.prepare(list(clips.values()), tower)
    counts = []
    for _ in range(2):
        first = taste_tokens.with_taste_ids(utterances, tower, encoded, context)
        counts.append(len(calls))
    with torch.no_grad():
        tower.quantizer.codebooks.normal_()
    other = taste_tokens.with_taste_ids(utterances, tower, encoded, context)
    counts.append(len(calls))
    assert counts == [4, 4, 8]
    assert not all(torch.equal(a.taste_ids, b.taste_ids) for a, b in zip(first, other, strict=True))


def test_units_begin_as_probable_as_they_are_and_alike_where_they_sound_alike(context):
    model = autoencoder.TasteAutoencoder(context.config, [(0, 0)])
    vectors = torch.eye(64)[:, : model.decoder.config.llm_output_size]
    counts = torch.arange(64)
    model.begin_units(vectors, counts)
    bias = model.decoder.llm_decoder.bias[:64]
    assert torch.allclose(bias.softmax(0), (counts + 1) / (counts + 1).sum())
