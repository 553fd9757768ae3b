import copy
import os
import signal

import pytest
import torch
from safetensors.torch import load_file, save_file

from taste_speech.audio_tower.quantizer import ResidualQuantizer
from taste_speech.modeling_taste import TasteForCausalLM
from taste_speech.training import reply_utterances
from taste_speech.training.corpus.audio_store import AudioStore
from taste_speech.training.dialogue_rows import NoTaste
from taste_speech.training.initial import INITIAL_NAME
from taste_speech.training.loop import LoopSettings, StoppedError, TrainingLoop
from taste_speech.training.recogniser import Recogniser
from taste_speech.training.stages import assemble, autoencoder, spoken_lm
from taste_speech.training.stages.autoencoder import TOWER_NAME, Settings, Trainer, final_tower, run

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


def finish_recogniser(context, seed=1):
    torch.manual_seed(seed)
    state = Recogniser(context.config.tower).state_dict()
    save_file(
        {name: value.clone() for name, value in state.items()},
        context.folder("tower") / "recogniser.safetensors",
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


def test_text_then_vectors_then_final_taste_tokens(context, monkeypatch):
    finish_recogniser(context)
    guesses, guess = [], autoencoder.guess
    monkeypatch.setattr(autoencoder, "guess", lambda *given: guesses.append(guess(*given)) or guesses[-1])
    run(SETTINGS.model_copy(update={"guessed_part": 1.0}), context)
    assert len(guesses) == 2  # of 10 steps those from `final_from` on
    state, folder = trained(context), context.folder("autoencoder")
    assert all(bool(state[name]) for name in ("has_tower", "has_quantizer", "is_final"))
    run(SETTINGS, context)
    taste_ids = load_file(folder / "taste_ids.safetensors")
    assert {key: len(ids) for key, ids in taste_ids.items()} == {
        clip.id: len(clip.text.split()) for clip in AudioStore(context.folder("corpus") / "reply")
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
    for name in ("spelling.weight", "phones.weight", "heard_prosody.weight", "said_prosody.weight"):
        assert torch.equal(short[name], resumed[name])
        assert not torch.equal(short[name], long[name])


def test_a_share_of_the_first_decoder_is_kept_in_the_written_one(context, tiny_model):
    finish_recogniser(context)
    decoder = tiny_model.speech_decoder.state_dict()
    given = {f"decoder.{name}": value.clone() for name, value in decoder.items()}
    folder = context.folder("autoencoder")
    save_file(given, folder / INITIAL_NAME)
    run(SETTINGS.model_copy(update={"text_until": 0.0, "first_share": 0.5}), context)
    name = "llm_decoder.weight"
    written, last = (
        load_file(folder / "speech_decoder.safetensors")[name],
        trained(context)[f"decoder.{name}"],
    )
    assert not torch.equal(last, decoder[name])
    torch.testing.assert_close(written, (last + decoder[name]) / 2)


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


def test_a_run_that_was_stopped_leaves_its_decoder_but_no_final_tower(context, monkeypatch):
    finish_recogniser(context)
    stop_in_step(6, monkeypatch)
    with pytest.raises(StoppedError):
        run(SETTINGS, context)
    folder = context.folder("autoencoder")
    assert (folder / "speech_decoder.safetensors").exists()
    assert not (folder / TOWER_NAME).exists()
    model, parts = TasteForCausalLM(context.config), assemble.Parts(context)
    assemble._fill_autoencoder(model, parts, context)
    assert parts.provisional == ["audio_tower", "speech_decoder"]
    assert torch.equal(
        model.speech_decoder.llm_decoder.weight, trained(context)["decoder.llm_decoder.weight"]
    )


def test_the_tower_of_an_unfinished_run_of_an_earlier_version_is_not_taken(context, tiny_model, monkeypatch):
    """Those versions wrote it whenever training ended."""
    finish_recogniser(context)
    stop_in_step(6, monkeypatch)
    with pytest.raises(StoppedError):
        run(SETTINGS, context)
    folder = context.folder("autoencoder")
    save_file(tiny_model.audio_tower.state_dict(), folder / TOWER_NAME)
    assert final_tower(context) is None
    quantizer = ResidualQuantizer(context.config.audio_tower_config.kwargs_for_quantizer)
    assert isinstance(spoken_lm.taste_source(spoken_lm.Settings(), context, quantizer), NoTaste)
    stop_in_step(7, monkeypatch)
    with pytest.raises(StoppedError):
        run(SETTINGS, context)
    assert not (folder / TOWER_NAME).exists()


def test_at_the_end_of_the_budget_taste_tokens_are_final(context):
    finish_recogniser(context)
    run(SETTINGS.model_copy(update={"final_from": 1.0}), context)
    assert final_tower(context) is not None


def test_taste_tokens_are_looked_up_anew_only_for_another_tower(context, tiny_model, monkeypatch):
    calls, word_codes = [], reply_utterances.word_codes
    monkeypatch.setattr(reply_utterances, "word_codes", lambda *given: calls.append(1) or word_codes(*given))
    utterances, _ = reply_utterances.load_utterances(context, ["reply"], 1, None)
    tower = copy.deepcopy(tiny_model.audio_tower)
    counts = []
    for _ in range(2):
        first = reply_utterances.with_taste_ids(utterances, tower, context)
        counts.append(len(calls))
    with torch.no_grad():
        tower.quantizer.codebooks.normal_()
    other = reply_utterances.with_taste_ids(utterances, tower, context)
    counts.append(len(calls))
    # A file of an earlier version does not say whose taste tokens it holds.
    path = context.folder("autoencoder") / "taste_ids.safetensors"
    save_file(load_file(path), path)
    reply_utterances.with_taste_ids(utterances, tower, context)
    counts.append(len(calls))
    assert counts == [4, 4, 8, 12]
    assert not all(torch.equal(a.taste_ids, b.taste_ids) for a, b in zip(first, other, strict=True))


def test_a_tower_that_comes_later_is_heard_by_its_own_encoder(context):
    """The recogniser may be trained on after its encoder was taken."""
    finish_recogniser(context)
    settings = SETTINGS.model_copy(update={"final_from": 0.9})
    run(settings.model_copy(update={"loop": settings.loop.model_copy(update={"steps": 1})}), context)
    index = context.folder("autoencoder") / "encoded" / "index.json"
    before = index.read_text()
    index.unlink()
    finish_recogniser(context, seed=2)
    run(settings, context)
    assert index.read_text() == before
