"""The stages `vocoder` and `flow` of a run that is told to stop."""

import os
import signal

import pytest
import torch
from safetensors.torch import load_file

from taste_speech.training.loop import LoopSettings, StoppedError
from taste_speech.training.stages import flow, vocoder
from taste_speech.training.stages.vocoder import VocoderTrainer
from taste_speech.vocoder.flow import Flow

LOOP = LoopSettings(steps=4, warmup_steps=1, precision="no")
VOCODER = vocoder.Settings(
    loop=LOOP, batch_size=2, segment_frames=16, adversarial_from=0.0, discriminator_channels=2
)


def stop_in_call(number, owner, name, monkeypatch):
    """Tell the process to stop in a call of a method, counted from 1."""
    calls, method = [], getattr(owner, name)

    def stopping(*given):
        calls.append(given)
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGTERM)
        return method(*given)

    monkeypatch.setattr(owner, name, stopping)


def test_the_discriminator_and_its_optimiser_go_on_where_they_were(context, monkeypatch):
    stop_in_call(2, VocoderTrainer, "losses", monkeypatch)
    with pytest.raises(StoppedError):
        vocoder.run(VOCODER, context)
    folder = context.folder("vocoder")
    state = torch.load(folder / "state.pt", weights_only=True)
    assert load_file(folder / "hift.safetensors").keys() == state["module"].keys()
    resumed = []

    def look(self, *_):
        resumed.append((self.discriminator.state_dict(), self.optimizer.state_dict()))
        raise KeyboardInterrupt

    monkeypatch.setattr(VocoderTrainer, "losses", look)
    with pytest.raises(StoppedError):
        vocoder.run(VOCODER, context)
    discriminator, optimizer = resumed[0]
    for name, value in state["extra"]["discriminator"].items():
        assert torch.equal(discriminator[name], value)
    assert int(optimizer["state"][0]["step"]) == 2


def test_a_flow_that_is_stopped_writes_what_it_has(context, monkeypatch):
    stop_in_call(2, Flow, "loss", monkeypatch)
    with pytest.raises(StoppedError):
        flow.run(flow.Settings(loop=LOOP, batch_size=2, max_units=8), context)
    folder = context.folder("flow")
    trained = torch.load(folder / "state.pt", weights_only=True)
    assert trained["step"] == 2
    written = load_file(folder / "flow.safetensors")
    assert all(torch.equal(written[name], value) for name, value in trained["module"].items())
