"""Smaller types of the linear layers: they run everywhere, and stay near."""

import copy

import pytest
import torch

from taste_speech.acceleration import Acceleration, accelerate
from taste_speech.streaming import StreamingDetokenizer, TASTESegment
from taste_speech.streaming.layout import Row
from taste_speech.streaming.row_cache import RowCache
from tests.talk import QUESTION, spoken

ROWS = [Row(7 * n % 300, (n % 16,) * 3 if n % 3 else None) for n in range(20)]


def _logits(model):
    cache = RowCache(model.spoken_lm, model.audio_tower.quantizer)
    cache.advance_to(ROWS)
    return cache.logits.float()


@pytest.mark.parametrize("kind", ["int8", "bfloat16", "float16"])
def test_logits_stay_near(tiny_model, kind):
    model = copy.deepcopy(tiny_model)
    accelerate(model, None, Acceleration(linear=kind))
    plain, small = _logits(tiny_model), _logits(model)
    assert not torch.equal(plain, small)
    assert torch.nn.functional.cosine_similarity(plain, small, dim=0) > 0.99


@pytest.mark.parametrize("kind", ["tiny", "tiny_phones"])
def test_int8_speaks(request, kind):
    model, processor = (request.getfixturevalue(f"{kind}_{part}") for part in ("model", "processor"))
    model = copy.deepcopy(model)
    voice = model.voice
    before = sum(p.numel() for p in [*model.parameters(), *voice.parameters()])
    accelerate(model, voice, Acceleration(linear="int8"))
    assert sum(p.numel() for p in [*model.parameters(), *voice.parameters()]) < 0.8 * before
    segment: TASTESegment = spoken(processor, model, QUESTION, "assistant")
    detokenizer = StreamingDetokenizer(model, processor, processor.voices()["ada"])
    samples = torch.from_numpy(detokenizer.feed(segment.text_ids, segment.taste_ids, final=True).samples)
    assert samples.numel() > 1000
    assert samples.isfinite().all()


@pytest.mark.parametrize("kind", ["int8", "float16"])
def test_made_layers_are_for_the_cpu(tiny_model, kind):
    model = copy.deepcopy(tiny_model).to("meta")
    with pytest.raises(ValueError) as caught:
        accelerate(model, None, Acceleration(linear=kind))
    assert str(caught.value) == f"{kind} layers run on the CPU only, but the model is on meta; use bfloat16"
