"""Every stage computes where its module is: on a GPU that is only pretended here, see `PretendedDevice`."""

import importlib
from contextlib import nullcontext

import pytest
import torch

from taste_speech.training import loop
from taste_speech.training.stages import flow, taste, vocoder
from tests.taste_speech.training.pretended_device import DEVICE, OnDevice, PretendedDevice, moved

LOOP = loop.LoopSettings(steps=2, evaluate_every=2, warmup_steps=1)
SETTINGS = {
    "vocoder": vocoder.Settings(stores=["reply"], loop=LOOP, batch_size=2, segment_frames=16, clips=3),
    "flow": flow.Settings(stores=["reply"], loop=LOOP, batch_size=2, max_units=8),
    "taste": taste.Settings(stores=["reply"], heard_stores=[], loop=LOOP, batch=2),
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
def with_device(filtering, monkeypatch):
    """The run of the stages before, and a device to train on; weights are not written from there."""
    monkeypatch.setattr(loop, "Accelerator", PretendedAccelerator)
    monkeypatch.setattr(torch, "autocast", PretendedAutocast)
    monkeypatch.setattr(loop.TrainingLoop, "save", lambda _: None)
    monkeypatch.setattr(
        loop.TrainingLoop, "run", lambda self, losses, evaluate, _: self._run(losses, evaluate)
    )
    return filtering


@pytest.mark.filterwarnings("ignore:for .* which is a no-op")
@pytest.mark.parametrize("stage", SETTINGS)
def test_a_stage_trains_and_evaluates_where_its_module_is(with_device, stage):
    module = importlib.import_module(f"taste_speech.training.stages.{stage}")
    with PretendedDevice():
        module.run(SETTINGS[stage], with_device)
    metrics = (with_device.folder(stage) / "metrics.jsonl").read_text()
    assert metrics.count("valid") == 1
