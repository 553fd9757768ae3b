"""The flow over frames on the CPU gives what the plain one gives."""

import copy
import pickle
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from taste_speech.acceleration import accelerate, decelerate
from taste_speech.acceleration.flow_frames import FlowFrames, mish
from taste_speech.streaming import StreamingDetokenizer, TASTESegment
from tests.talk import QUESTION, spoken


@pytest.fixture
def flow(tiny_processor: Any) -> Any:
    flow = copy.deepcopy(tiny_processor.get_generator().flow.decoder)
    flow.runner = None
    return flow


def _inputs(frames: int, known_frames: int) -> tuple[torch.Tensor | None, ...]:
    generator = torch.Generator().manual_seed(frames)
    noise, condition = (torch.randn(1, 40, frames, generator=generator) for _ in range(2))
    speaker = torch.randn(1, 40, generator=generator)
    known = torch.randn(1, 40, known_frames, generator=generator) if known_frames else None
    return noise, condition, speaker, known


@pytest.mark.parametrize("frames", [1, 2, 17, 90])
@pytest.mark.parametrize("known_frames", [0, 9])
@pytest.mark.parametrize("rate", [0.0, 0.7])
@pytest.mark.parametrize(("as_prompt", "start"), [(False, 0.0), (True, 0.6)])
def test_frames_equal_the_plain_flow(flow, frames, known_frames, rate, as_prompt, start):
    if known_frames >= frames:
        pytest.skip("no frame is new")
    flow.config = flow.config.model_copy(
        update={"known_frames_as_prompt": as_prompt, "cfg_rate": rate, "start": start}
    )
    inputs = _inputs(frames, known_frames)
    with torch.no_grad():
        plain = flow(*inputs)
        flow.runner = FlowFrames(flow.estimator)
        fast = flow(*inputs)
    assert fast.shape == plain.shape
    torch.testing.assert_close(fast, plain, atol=1e-4, rtol=1e-4)


def test_mish():
    x = torch.cat([torch.linspace(-110, 110, 1001), torch.tensor([0.0, -1e-8, 3e38])])
    torch.testing.assert_close(mish(x), F.mish(x), rtol=1e-6, atol=1e-6)
    assert x[0] == -110, "the input is left alone"


def test_speech_is_the_same(tiny_model, tiny_processor):
    sounds, units = [], []
    for fast in (False, True):
        model, processor = copy.deepcopy(tiny_model), tiny_processor
        if fast:
            accelerate(model, model.voice)
        detokenizer = StreamingDetokenizer(
            model, processor, processor.voices()["ada"], generator=torch.Generator().manual_seed(2)
        )
        words = spoken(processor, model, QUESTION, "assistant").words
        pieces = []
        for part in (words[:2], words[2:]):
            segment = TASTESegment.from_words("assistant", part, 3)
            chunk = detokenizer.feed(segment.text_ids, segment.taste_ids, final=part is not words[:2])
            pieces.append(torch.from_numpy(chunk.samples))
            units.append(chunk.speech_ids)
        sounds.append(torch.cat(pieces))
    assert torch.equal(torch.cat(units[:2], dim=1), torch.cat(units[2:], dim=1))
    assert sounds[0].numel() > 1000
    torch.testing.assert_close(sounds[1], sounds[0], atol=1e-3, rtol=1e-3)


def test_it_can_be_switched_off(tiny_model, tiny_processor):
    model, voice = copy.deepcopy(tiny_model), copy.deepcopy(tiny_processor.get_generator())
    accelerate(model, voice)
    assert isinstance(voice.flow.decoder.runner, FlowFrames)
    other = pickle.loads(pickle.dumps(voice))
    assert isinstance(other.flow.decoder.runner, FlowFrames)
    assert copy.deepcopy(voice).flow.decoder.runner is not voice.flow.decoder.runner
    decelerate(model, voice)
    assert voice.flow.decoder.runner is None
