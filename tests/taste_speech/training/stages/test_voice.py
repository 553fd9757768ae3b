"""The stages `vocoder` and `flow` of a run that is told to stop."""

import json
import os
import shutil
import signal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from taste_speech.training.config import StageContext
from taste_speech.training.corpus.audio_store import AudioStore
from taste_speech.training.loop import LoopSettings, StoppedError, take_what_fits
from taste_speech.training.stages import flow, vocoder
from taste_speech.training.stages.vocoder import VocoderTrainer
from taste_speech.training.voice import marked_phones_at, stored_voice
from taste_speech.vocoder.flow import Flow
from taste_speech.vocoder.phones import MARKS, PHONES, mark_of

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


def test_a_vocoder_learns_the_filters_of_the_voice(filtering):
    loop = LOOP.model_copy(update={"steps": 30, "learning_rate": 3e-2, "evaluate_every": 15})
    vocoder.run(VOCODER.model_copy(update={"loop": loop}), filtering)
    lines = (filtering.folder("vocoder") / "metrics.jsonl").read_text().splitlines()
    before, after = (json.loads(line)["filters"] for line in lines if '"valid"' in line)
    assert after < before


def test_a_flow_that_is_stopped_writes_what_it_has(context, monkeypatch):
    stop_in_call(2, Flow, "losses", monkeypatch)
    with pytest.raises(StoppedError):
        flow.run(flow.Settings(loop=LOOP, batch_size=2, max_units=8), context)
    folder = context.folder("flow")
    trained = torch.load(folder / "state.pt", weights_only=True)
    assert trained["step"] == 2
    written = load_file(folder / "flow.safetensors")
    assert written
    assert all(torch.equal(trained["module"][name], value) for name, value in written.items())


@pytest.fixture
def reading(context, monkeypatch):
    """A run whose flow reads phones, with the clips that they are told from."""
    monkeypatch.setattr(context.config.voice_generator.flow, "phones", True)
    shutil.copytree(context.folder("corpus") / "reply", context.folder("corpus") / "pairs")
    shutil.copyfile(
        context.folder("units") / "units.safetensors", context.folder("pairs") / "units.safetensors"
    )
    return context


def test_a_flow_that_reads_phones_learns_to_tell_them_from_units(reading):
    loop = LOOP.model_copy(update={"steps": 16, "learning_rate": 1e-3, "evaluate_every": 8})
    flow.run(flow.Settings(loop=loop, batch_size=2, max_units=8, prior_alone=0.6), reading)
    lines = [json.loads(line) for line in (reading.folder("flow") / "metrics.jsonl").read_text().splitlines()]
    before, after = (line for line in lines if line["split"] == "valid")
    assert after["phone"] < before["phone"]
    assert "flow" not in before  # the prior alone is learned first
    assert after["flow"] > 0
    written = load_file(reading.folder("flow") / "flow.safetensors")
    assert "input_embedding.weight" not in written
    assert any(name.startswith("phone_teller") for name in written)


def test_a_pause_has_the_mark_of_the_word_before(context):
    store = AudioStore(context.folder("corpus") / "marked")
    phones = [("pause", 0.1), ("h", 0.2), ("I", 0.3), ("pause", 0.5), ("m", 0.6), ("i", 0.7), ("pause", 0.9)]
    manner = {"voice": "ada", "rate": 1.0, "pitch": 1.0, "slope": 0.0, "emphasis": None}
    timing = {"word_ends": [0.3, 0.9], "phones": phones}
    store.append(np.zeros(21600, np.int16), id="a", split="train", text="hi, me?", **timing, **manner)
    (clip,) = store
    marks = [int(marked) // len(PHONES) % (len(MARKS) + 1) for marked in marked_phones_at(clip, 45, 50)]
    assert marks == [0] * 5 + [mark_of("hi,")] * 20 + [mark_of("me?")] * 20


def test_a_flow_begins_with_that_of_a_checkpoint_as_far_as_it_fits(context, tiny_checkpoint):
    stored = stored_voice(tiny_checkpoint, "flow")
    begun = StageContext(context.root, context.config, tiny_checkpoint)
    still = LOOP.model_copy(update={"steps": 1, "learning_rate": 0.0})
    flow.run(flow.Settings(loop=still, batch_size=2, max_units=8), begun)
    written = load_file(context.folder("flow") / "flow.safetensors")
    assert all(torch.equal(written[name], value) for name, value in stored.items())


def test_only_what_has_the_same_shape_is_taken():
    module, stored = torch.nn.Linear(3, 2), {"weight": torch.ones(2, 4), "bias": torch.ones(2)}
    assert take_what_fits(module, stored) == ["weight"]
    assert module.bias.tolist() == [1.0, 1.0]


def test_the_phones_are_told_as_before_where_only_the_sound_is_learned(reading):
    shutil.rmtree(reading.folder("pairs"))
    torch.manual_seed(LOOP.seed)
    before = {k: v.clone() for k, v in Flow(reading.config.voice_generator).phone_teller.state_dict().items()}
    flow.run(flow.Settings(loop=LOOP, batch_size=2, max_units=8, telling=False), reading)
    written = load_file(reading.folder("flow") / "flow.safetensors")
    assert all(torch.equal(written[f"phone_teller.{name}"], value) for name, value in before.items())
