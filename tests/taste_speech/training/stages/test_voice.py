"""The stages `vocoder` and `flow` of a run that is told to stop."""

import json
import os
import signal

import pytest
import torch
from safetensors.torch import load_file

from taste_speech.phones import MARKED_PHONES
from taste_speech.training.config import StageContext
from taste_speech.training.corpus.audio_store import AudioStore
from taste_speech.training.corpus.voice_features import stored_voice
from taste_speech.training.loop import LoopSettings, StoppedError, take_what_fits
from taste_speech.training.stages import flow, vocoder
from taste_speech.training.stages.vocoder import VocoderTrainer
from taste_speech.vocoder.flow import Flow

LOOP = LoopSettings(steps=4, warmup_steps=1, precision="no")
VOCODER = vocoder.Settings(stores=["reply"], loop=LOOP, batch_size=2, segment_frames=16, clips=3)


def stop_in_call(number, owner, name, monkeypatch):
    """Tell the process to stop in a call of a method, counted from 1."""
    calls, method = [], getattr(owner, name)

    def stopping(*given):
        calls.append(given)
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGTERM)
        return method(*given)

    monkeypatch.setattr(owner, name, stopping)


def test_a_vocoder_that_is_stopped_goes_on_where_it_was(filtering, monkeypatch):
    stop_in_call(2, VocoderTrainer, "losses", monkeypatch)
    with pytest.raises(StoppedError):
        vocoder.run(VOCODER, filtering)
    folder = filtering.folder("vocoder")
    state = torch.load(folder / "state.pt", weights_only=True)
    assert state["step"] == 2
    written = load_file(folder / "hift.safetensors")
    assert all(torch.equal(written[name], value) for name, value in state["module"].items())
    monkeypatch.setattr(VocoderTrainer, "losses", lambda *_: pytest.fail("all steps were done"))
    vocoder.run(VOCODER.model_copy(update={"loop": LOOP.model_copy(update={"steps": 2})}), filtering)


def test_a_vocoder_begins_with_the_spectra_of_the_voice_and_learns_its_mel(filtering):
    loop = LOOP.model_copy(update={"steps": 30, "learning_rate": 1e-3, "evaluate_every": 1})
    vocoder.run(VOCODER.model_copy(update={"loop": loop}), filtering)
    lines = (filtering.folder("vocoder") / "metrics.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines if '"valid"' in line]
    assert found[0]["filters"] < 0.3
    assert found[0]["phases"] < 0.01
    assert found[-1]["mel"] < found[0]["mel"]


def test_a_flow_that_is_stopped_writes_what_it_has(context, monkeypatch):
    stop_in_call(2, Flow, "losses", monkeypatch)
    with pytest.raises(StoppedError):
        flow.run(flow.Settings(stores=["reply"], loop=LOOP, batch_size=2, max_units=8), context)
    folder = context.folder("flow")
    trained = torch.load(folder / "state.pt", weights_only=True)
    assert trained["step"] == 2
    written = load_file(folder / "flow.safetensors")
    assert written
    assert all(torch.equal(trained["module"][name], value) for name, value in written.items())


def test_a_flow_learns_its_prior_alone_and_then_the_mel(context):
    loop = LOOP.model_copy(update={"steps": 16, "learning_rate": 1e-3, "evaluate_every": 8})
    flow.run(flow.Settings(stores=["reply"], loop=loop, batch_size=2, max_units=8, prior_alone=0.6), context)
    lines = [json.loads(line) for line in (context.folder("flow") / "metrics.jsonl").read_text().splitlines()]
    before, after = (line for line in lines if line["split"] == "valid")
    assert after["prior"] < before["prior"]
    assert "flow" not in before
    assert after["flow"] > 0
    written = load_file(context.folder("flow") / "flow.safetensors")
    assert "phone_embedding.pitches.weight" in written
    assert "input_embedding.weight" not in written


@pytest.mark.parametrize("unpitched", [0.0, 0.5, 1.0])
def test_the_pitch_of_some_windows_is_not_told(context, unpitched):
    stores, config = [AudioStore(context.folder("corpus") / "reply")], context.config.voice_generator
    settings = flow.Settings(stores=["reply"], batch_size=40, max_units=8, unpitched_part=unpitched)
    sampler = flow.WindowSampler(flow.items_of(stores, config, "train"), config, settings)
    units, counts, mel, frames = sampler.batch(torch.Generator().manual_seed(0))
    told = (units >= MARKED_PHONES).any(1)
    assert unpitched != 0.5 or 5 < int(told.sum()) < 30
    assert unpitched != 1.0 or not bool(told.any())
    assert unpitched != 0.0 or int(told.sum()) > 30
    assert len(units) == len(counts) == len(mel) == len(frames) == 40


def test_a_flow_begins_with_that_of_a_checkpoint_as_far_as_it_fits(context, tiny_phones_checkpoint):
    stored = stored_voice(tiny_phones_checkpoint, "flow")
    begun = StageContext(context.root, context.config, tiny_phones_checkpoint)
    still = LOOP.model_copy(update={"steps": 1, "learning_rate": 0.0})
    flow.run(flow.Settings(stores=["reply"], loop=still, batch_size=2, max_units=8), begun)
    written = load_file(context.folder("flow") / "flow.safetensors")
    assert all(torch.equal(written[name], value) for name, value in stored.items())


def test_only_what_has_the_same_shape_is_taken():
    module, stored = torch.nn.Linear(3, 2), {"weight": torch.ones(2, 4), "bias": torch.ones(2)}
    assert take_what_fits(module, stored) == ["weight"]
    assert module.bias.tolist() == [1.0, 1.0]
