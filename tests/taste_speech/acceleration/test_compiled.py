"""Compiled steps, traced but not turned into machine code here, give what the plain ones give."""

import copy
from typing import Any

import pytest
import torch

from taste_speech.acceleration import Acceleration, accelerate, decelerate, plain_steps
from taste_speech.acceleration.rows import CompiledRows
from taste_speech.streaming import StreamingDetokenizer
from taste_speech.streaming.layout import Row
from taste_speech.streaming.row_cache import RowCache
from tests.talk import FOLLOW_UP, QUESTION, spoken, stream, talk, words_of
from tests.units import assert_same_units, unit_inputs

COMPILED = Acceleration(compiled=True, backend="eager", cache_rows=48)  # the backend needs no C++ compiler
NEAR = {"atol": 2e-4, "rtol": 1e-3}


@pytest.fixture(scope="module")
def fast_model(tiny_model: Any) -> Any:
    """One for all tests, for tracing takes long. Longer conversations outgrow its caches."""
    model = copy.deepcopy(tiny_model)
    accelerate(model, None, COMPILED)
    return model


def _rows(count: int, levels: int) -> list[Row]:
    generator = torch.Generator().manual_seed(count)
    ids = torch.randint(300, (count,), generator=generator).tolist()
    codes = torch.randint(16, (count, levels), generator=generator).tolist()
    return [Row(i, tuple(c) if n % 3 else None) for n, (i, c) in enumerate(zip(ids, codes, strict=True))]


def _memory(model: Any) -> RowCache:
    return RowCache(model.spoken_lm, model.audio_tower.quantizer)


@pytest.mark.parametrize("prefilled", [0, 5, 60])
def test_lm_steps_have_the_outputs_of_the_plain_steps(tiny_model, fast_model, prefilled):
    rows = _rows(70, tiny_model.num_quantizers)
    caches = [_memory(model) for model in (tiny_model, fast_model)]
    if prefilled:
        for cache in caches:
            cache.advance_to(rows[:prefilled])
    for row in rows[prefilled:]:
        for cache in caches:
            cache.append(row)
        torch.testing.assert_close(caches[1].logits, caches[0].logits, **NEAR)
        assert caches[1].read_taste() == caches[0].read_taste()
    assert caches[1].forwarded_rows == caches[0].forwarded_rows == 70


def test_lm_steps_go_on_after_a_cut(tiny_model, fast_model):
    rows = _rows(40, tiny_model.num_quantizers)
    fast, plain = _memory(fast_model), _memory(tiny_model)
    for row in rows:
        fast.append(row)
    fast.advance_to(rows[:20])
    plain.advance_to(rows[:20])
    for row in reversed(rows[20:]):
        fast.append(row)
        plain.append(row)
    torch.testing.assert_close(fast.logits, plain.logits, **NEAR)


def test_a_clone_keeps_its_outputs(fast_model):
    rows = _rows(12, fast_model.num_quantizers)
    cache = _memory(fast_model)
    for row in rows[:10]:
        cache.append(row)
    clone = cache.clone()
    before, codes = clone.logits.clone(), clone.read_taste()
    cache.append(rows[10])
    assert torch.equal(clone.logits, before)
    assert clone.read_taste() == codes
    clone.append(rows[10])
    torch.testing.assert_close(clone.logits, cache.logits)


def test_replies_are_the_same(tiny_model, fast_model, tiny_processor):
    replies = []
    for model in (tiny_model, fast_model):
        conversation = talk(model, tiny_processor, QUESTION, FOLLOW_UP)
        replies.append(words_of(stream(conversation, model, tiny_processor)))
    assert replies[0] == replies[1]
    assert len(replies[0]) > 5


def test_a_step_forwards_exactly_one_row(fast_model, tiny_processor, monkeypatch):
    seen: list[int] = []
    runner = fast_model.spoken_lm.row_runner
    run = runner.run
    monkeypatch.setattr(runner, "run", lambda x, *others: seen.append(x.shape[1]) or run(x, *others))
    conversation = talk(fast_model, tiny_processor, QUESTION)
    conversation.prefill()
    seen.clear()
    before = conversation.lm_state.forwarded_rows
    words_of(stream(conversation, fast_model, tiny_processor))
    assert set(seen) == {1}
    assert len(seen) == conversation.lm_state.forwarded_rows - before


@pytest.mark.parametrize("forced", [0, 7])
@pytest.mark.parametrize("greedy", [False, True])
def test_units_and_alignment_are_the_same(tiny_model, fast_model, forced, greedy):
    fast, plain = fast_model.speech_decoder, copy.deepcopy(tiny_model.speech_decoder)
    assert_same_units([plain, fast], unit_inputs(tiny_model), forced, greedy)


@pytest.mark.parametrize("known_frames", [0, 9])
def test_the_compiled_flow_equals_the_plain_one(tiny_model, tiny_processor, known_frames):
    model, voice = copy.deepcopy(tiny_model), copy.deepcopy(tiny_processor.get_generator())
    flow = voice.flow.decoder
    flow.config = flow.config.model_copy(update={"known_frames_as_prompt": True})
    accelerate(model, voice, COMPILED)
    generator = torch.Generator().manual_seed(1)
    for frames in (17, 32, 45, 800):
        noise, condition = (torch.randn(1, 40, frames, generator=generator) for _ in range(2))
        speaker = torch.randn(1, 40, generator=generator)
        known = torch.randn(1, 40, known_frames, generator=generator) if known_frames else None
        with torch.no_grad():
            fast = flow(noise, condition, speaker, known)
            with plain_steps(model, voice):
                plain = flow(noise, condition, speaker, known)
        torch.testing.assert_close(fast, plain, atol=1e-4, rtol=1e-4)


def test_speech_is_the_same(tiny_model, tiny_processor):
    sounds = []
    for fast in (False, True):
        model, processor = copy.deepcopy(tiny_model), tiny_processor
        if fast:
            accelerate(model, model.voice, COMPILED)
        detokenizer = StreamingDetokenizer(
            model, processor, processor.voices()["ada"], generator=torch.Generator().manual_seed(2)
        )
        words = spoken(processor, model, QUESTION, "assistant").words
        pieces = []
        for part in (words[:2], words[2:]):
            segment = type(spoken(processor, model, QUESTION)).from_words("assistant", part, 3)
            chunk = detokenizer.feed(segment.text_ids, segment.taste_ids, final=part is not words[:2])
            pieces.append(torch.from_numpy(chunk.samples))
        sounds.append(torch.cat(pieces))
    assert sounds[0].numel() > 1000
    torch.testing.assert_close(sounds[1], sounds[0], atol=1e-3, rtol=1e-3)


def test_a_copied_model_is_fast_by_itself(fast_model):
    model = copy.deepcopy(fast_model)
    other = copy.deepcopy(model)
    assert other.spoken_lm.row_runner is not model.spoken_lm.row_runner
    decelerate(model)
    assert model.spoken_lm.row_runner is None
    rows, logits = _rows(9, model.num_quantizers), []
    for each in (model, other):
        cache = _memory(each)
        cache.advance_to(rows[:8])
        cache.append(rows[8])
        logits.append(cache.logits)
    torch.testing.assert_close(*logits, **NEAR)
    assert isinstance(other.spoken_lm.row_runner, CompiledRows)


def test_plain_steps_for_a_while(tiny_model, tiny_processor):
    model, voice = copy.deepcopy(tiny_model), copy.deepcopy(tiny_processor.get_generator())
    accelerate(model, voice, COMPILED)
    runner, estimator = model.spoken_lm.row_runner, voice.flow.decoder.estimator
    with plain_steps(model, voice):
        assert model.spoken_lm.row_runner is None
        assert estimator._compiled_call_impl is None
    assert model.spoken_lm.row_runner is runner
    assert estimator._compiled_call_impl is not None
