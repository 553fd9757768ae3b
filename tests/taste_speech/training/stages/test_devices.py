"""Every stage computes where its module is: on a GPU that is only pretended here, see `PretendedDevice`."""

import copy
import importlib
import shutil
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from taste_speech.recognition.acoustic import AcousticConfig
from taste_speech.training import answering, loop
from taste_speech.training.recogniser import Recogniser
from taste_speech.training.stages import autoencoder, flow, phones, spoken_lm, tower, vocoder
from taste_speech.training.taste_bank import TasteBank
from tests.taste_speech.training.pretended_device import DEVICE, OnDevice, PretendedDevice, moved

LOOP = loop.LoopSettings(steps=2, evaluate_every=2, warmup_steps=1)
SETTINGS = {
    "vocoder": vocoder.Settings(
        loop=LOOP, batch_size=2, segment_frames=16, adversarial_from=0.5, discriminator_channels=2
    ),
    "flow": flow.Settings(loop=LOOP, batch_size=2, max_units=8),
    "tower": tower.Settings(loop=LOOP, stores=["reply"], evaluated_clips=1),
    "autoencoder": autoencoder.Settings(
        loop=LOOP.model_copy(update={"steps": 4, "evaluate_every": 4}),
        stores=["reply"],
        aligned_heads=[(0, 0)],
        neighbours=2,
        text_until=0.25,
        continuous_until=0.5,
        final_from=0.75,
        guessed_part=1.0,
        spelling_steps=1,
        prosody_steps=1,
        spoken_utterances=1,
    ),
    "phones": phones.Settings(loop=LOOP, stores=["reply"], evaluated_clips=1),
    "spoken_lm": spoken_lm.Settings(
        loop=LOOP,
        stores={"assistant": ["reply"], "user": []},
        talks_at_once=4,
        heard_turns=0,
        sound_alike=0.0,
        evaluated_talks=1,
        batch_rows=100,
    ),
}


class PretendedAccelerator:
    """What the loop asks of accelerate, on `DEVICE`."""

    device = DEVICE

    def __init__(self, mixed_precision):
        pass

    def prepare(self, module, optimizer):
        names = {id(parameter): name for name, parameter in module.named_parameters()}
        there = dict(moved(module).named_parameters())
        for group in optimizer.param_groups:
            group["params"] = [there[names[id(parameter)]] for parameter in group["params"]]
        return module, optimizer

    def unwrap_model(self, module):
        return module

    def autocast(self):
        return nullcontext()

    def backward(self, total):
        assert isinstance(total, OnDevice)
        total.backward()

    def clip_grad_norm_(self, parameters, most):
        return torch.nn.utils.clip_grad_norm_(parameters, most, foreach=False)


class PretendedAutocast(nullcontext):
    """Autocast for another device than the one that computes would do nothing."""

    def __init__(self, device_type, dtype=None, enabled=True):
        assert device_type == DEVICE.type or not enabled
        super().__init__()


@pytest.fixture
def with_device(context, tiny_checkpoint, tiny_model, monkeypatch):
    """The run of the stages before, and a device to train on; weights are not written from there."""
    config = copy.deepcopy(context.config)
    width = config.tower.d_model
    config.recognition.acoustic = AcousticConfig(d_model=width, layers=1, heads=2, ffn_dim=width)
    context = replace(context, config=config)
    shutil.copytree(tiny_checkpoint / "llama_tokenizer", context.folder("tokenizers") / "llama_tokenizer")
    recogniser = Recogniser(context.config.tower).state_dict()
    weights = {name: value.clone() for name, value in recogniser.items()}
    save_file(weights, context.folder("tower") / "recogniser.safetensors")
    monkeypatch.setattr(loop, "Accelerator", PretendedAccelerator)
    monkeypatch.setattr(torch, "autocast", PretendedAutocast)
    monkeypatch.setattr(loop.TrainingLoop, "save", lambda _: None)
    monkeypatch.setattr(
        loop.TrainingLoop, "run", lambda self, losses, evaluate, _: self._run(losses, evaluate)
    )
    greedy = Recogniser.greedy
    monkeypatch.setattr(Recogniser, "greedy", lambda self, *batch: greedy(self, *batch, max_tokens=3))
    monkeypatch.setattr(answering, "MAX_REPLY_TOKENS", 3)
    monkeypatch.setattr(autoencoder, "SAMPLED_BATCHES", 3)
    monkeypatch.setattr(autoencoder, "save_tower", lambda *_: None)
    return context


@pytest.mark.filterwarnings("ignore:for .* which is a no-op")
@pytest.mark.parametrize("stage", SETTINGS)
def test_a_stage_trains_and_evaluates_where_its_module_is(with_device, tiny_model, stage, monkeypatch):
    if stage == "spoken_lm":
        monkeypatch.setattr(TasteBank, "codes", lambda _, role, words, rng, manner: [(1, 2, 3)] * len(words))
        folder = with_device.folder("autoencoder")
        save_file(tiny_model.audio_tower.state_dict(), folder / autoencoder.TOWER_NAME)
    module = importlib.import_module(f"taste_speech.training.stages.{stage}")
    with PretendedDevice():
        module.run(SETTINGS[stage], with_device)
    metrics = (with_device.folder(stage) / "metrics.jsonl").read_text()
    assert metrics.count("valid") == 1
