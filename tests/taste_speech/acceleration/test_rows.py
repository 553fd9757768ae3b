"""Single rows on the CPU give what the plain steps give, from weights that are packed and that are not."""

import copy
from typing import Any

import pytest
import torch

from taste_speech.acceleration import Acceleration, accelerate, decelerate, plain_steps
from taste_speech.acceleration import rows as row_paths
from taste_speech.streaming.layout import Row
from taste_speech.streaming.row_cache import RowCache
from tests.talk import FOLLOW_UP, QUESTION, stream, talk, words_of
from tests.units import assert_same_units, unit_inputs


@pytest.fixture(params=["as they are", "exact in half precision"])
def both(tiny_model: Any, request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """A plain model, and the same with fast rows."""
    plain = copy.deepcopy(tiny_model)
    if request.param != "as they are":
        with torch.no_grad():
            for parameter in plain.parameters():
                parameter.copy_(parameter.half())
    fast = copy.deepcopy(plain)
    accelerate(fast)
    return plain, fast


@pytest.mark.parametrize("forced", [0, 7])
@pytest.mark.parametrize("greedy", [False, True])
def test_units_and_alignment_are_the_same(both, forced, greedy):
    assert_same_units([model.speech_decoder for model in both], unit_inputs(both[0]), forced, greedy)


def test_units_without_alignment(both):
    units = [
        model.speech_decoder.generate(
            *unit_inputs(model), generator=torch.Generator().manual_seed(3), min_units=0, max_units=20
        )
        for model in both
    ]
    assert torch.equal(*units)


def test_new_weights_are_read_by_accelerating_again(both):
    arguments, units = unit_inputs(both[0]), []
    for model, switch in zip(both, (decelerate, accelerate), strict=True):
        decoder = model.speech_decoder
        decoder.generate(*arguments, greedy=True, max_units=10)
        with torch.no_grad():
            decoder.speech_embedding.weight.add_(0.3)
            decoder.llm.encoders[0].feed_forward.w_2.weight.mul_(-1)
        switch(model)
        units.append(decoder.generate(*arguments, greedy=True, max_units=10))
    assert torch.equal(*units)


def _rows(count: int, levels: int) -> list[Row]:
    generator = torch.Generator().manual_seed(count)
    ids = torch.randint(300, (count,), generator=generator).tolist()
    codes = torch.randint(16, (count, levels), generator=generator).tolist()
    return [Row(i, tuple(c) if n % 3 else None) for n, (i, c) in enumerate(zip(ids, codes, strict=True))]


@pytest.mark.parametrize("cached_bytes", [0, 2**18])
def test_lm_rows_have_the_outputs_of_the_plain_steps(both, monkeypatch, cached_bytes):
    monkeypatch.setattr(row_paths, "_CACHED_BYTES", cached_bytes)
    rows = _rows(300, both[0].num_quantizers)
    caches = [RowCache(model.spoken_lm, model.audio_tower.quantizer) for model in both]
    for cache in caches:
        cache.advance_to(rows[:5])
    for row in rows[5:]:
        for cache in caches:
            cache.append(row)
        torch.testing.assert_close(caches[1].logits, caches[0].logits, atol=2e-4, rtol=1e-3)
        assert caches[1].read_taste() == caches[0].read_taste()
    caches[1].advance_to(rows[:20])
    caches[1].append(rows[20])
    caches[0].advance_to(rows[:21])
    torch.testing.assert_close(caches[1].logits, caches[0].logits, atol=2e-4, rtol=1e-3)


def test_new_weights_of_the_lm_are_noticed(both):
    rows = _rows(4, both[0].num_quantizers)
    logits = []
    for model in both:
        cache = RowCache(model.spoken_lm, model.audio_tower.quantizer)
        cache.advance_to(rows[:3])
        cache.append(rows[3])
        with torch.no_grad():
            model.spoken_lm.language_model.model.layers[1].mlp.up_proj.weight.mul_(1.5)
        cache.reset()
        cache.advance_to(rows[:3])
        cache.append(rows[3])
        logits.append(cache.logits)
    torch.testing.assert_close(*logits, atol=2e-4, rtol=1e-3)


def test_replies_are_the_same(both, tiny_processor):
    replies = []
    for model in both:
        conversation = talk(model, tiny_processor, QUESTION, FOLLOW_UP)
        replies.append(words_of(stream(conversation, model, tiny_processor)))
    assert replies[0] == replies[1]
    assert len(replies[0]) > 5


def test_a_copied_model_is_fast_by_itself(both):
    fast = both[1]
    other = copy.deepcopy(fast)
    assert other.speech_decoder.unit_runner is not fast.speech_decoder.unit_runner
    assert other.spoken_lm.row_runner is not fast.spoken_lm.row_runner
    decelerate(fast)
    assert fast.speech_decoder.unit_runner is None
    assert fast.spoken_lm.row_runner is None
    assert other.spoken_lm.row_runner is not None


def test_smaller_types_take_the_plain_steps(tiny_model):
    model = copy.deepcopy(tiny_model)
    accelerate(model, None, Acceleration(linear="bfloat16"))
    assert model.spoken_lm.row_runner is None
    assert model.speech_decoder.unit_runner is None


def test_a_checkpoint_of_phones_has_fast_rows_and_returns_to_the_plain_steps(tiny_phones_model):
    model = copy.deepcopy(tiny_phones_model)
    accelerate(model, model.voice)
    runners = model.spoken_lm.row_runner, model.voice.flow.decoder.runner
    assert None not in runners
    with plain_steps(model, model.voice):
        assert model.spoken_lm.row_runner is model.voice.flow.decoder.runner is None
    assert (model.spoken_lm.row_runner, model.voice.flow.decoder.runner) == runners
    decelerate(model, model.voice)
    assert model.spoken_lm.row_runner is model.voice.flow.decoder.runner is None
