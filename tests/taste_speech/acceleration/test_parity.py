"""The fast paths, uncaptured on the CPU, give what the plain paths give."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from taste_speech.acceleration import Acceleration, accelerate, decelerate
from taste_speech.acceleration.replay import Replay
from taste_speech.streaming import StreamingDetokenizer
from taste_speech.streaming.layout import Row
from taste_speech.streaming.row_cache import RowCache
from tests.talk import FOLLOW_UP, QUESTION, spoken, stream, talk, words_of
from tests.units import HEADS_AND_WINDOWS, NARROW, assert_same_units, unit_inputs

SMALL_STEPS = Acceleration(
    static_shapes=True,
    lm_rows=48,
    lm_buckets=(16, 32),
    unit_bucket=64,
    units_per_read=3,
    flow_bucket_frames=32,
)


@pytest.fixture(params=["one_level_of_room", "grows"])
def fast_model(tiny_model: Any, request: pytest.FixtureRequest) -> Any:
    rows = 4096 if request.param == "one_level_of_room" else 48
    model = copy.deepcopy(tiny_model)
    accelerate(model, None, SMALL_STEPS.model_copy(update={"lm_rows": rows}))
    return model


@pytest.fixture
def generator_state() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        yield


def _rows(count: int, levels: int) -> list[Row]:
    generator = torch.Generator().manual_seed(count)
    ids = torch.randint(300, (count,), generator=generator).tolist()
    codes = torch.randint(16, (count, levels), generator=generator).tolist()
    return [Row(i, tuple(c) if n % 3 else None) for n, (i, c) in enumerate(zip(ids, codes, strict=True))]


def test_lm_steps_have_the_outputs_of_the_plain_steps(tiny_model, fast_model):
    rows = _rows(70, tiny_model.num_quantizers)
    caches = [RowCache(m.spoken_lm, m.audio_tower.quantizer) for m in (tiny_model, fast_model)]
    for cache in caches:
        cache.advance_to(rows[:5])
    for row in rows[5:]:
        for cache in caches:
            cache.append(row)
        torch.testing.assert_close(caches[1].logits, caches[0].logits, atol=2e-4, rtol=1e-3)
        assert caches[1].read_taste() == caches[0].read_taste()
    assert caches[1].forwarded_rows == caches[0].forwarded_rows == 70


def test_lm_steps_go_on_after_a_cut(tiny_model, fast_model):
    rows = _rows(40, tiny_model.num_quantizers)
    fast, plain = (RowCache(m.spoken_lm, m.audio_tower.quantizer) for m in (fast_model, tiny_model))
    for row in rows:
        fast.append(row)
    fast.advance_to(rows[:20])
    plain.advance_to(rows[:20])
    for row in reversed(rows[20:]):
        fast.append(row)
        plain.append(row)
    torch.testing.assert_close(fast.logits, plain.logits, atol=2e-4, rtol=1e-3)


def test_a_clone_keeps_its_outputs(fast_model):
    rows = _rows(12, fast_model.num_quantizers)
    cache = RowCache(fast_model.spoken_lm, fast_model.audio_tower.quantizer)
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
    layer = fast_model.spoken_lm.language_model.model.layers[0]
    layer.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape[1]))
    conversation = talk(fast_model, tiny_processor, QUESTION)
    conversation.prefill()
    seen.clear()
    before = conversation.lm_state.forwarded_rows
    words_of(stream(conversation, fast_model, tiny_processor))
    assert set(seen) == {1}
    assert len(seen) == conversation.lm_state.forwarded_rows - before


@pytest.mark.parametrize("forced", [0, 7])
@pytest.mark.parametrize("greedy", [False, True])
@pytest.mark.parametrize(("heads", "window"), HEADS_AND_WINDOWS)
def test_units_and_alignment_are_the_same(tiny_model, forced, greedy, heads, window):
    plain = copy.deepcopy(tiny_model.speech_decoder)
    plain.decoding.alignment_heads = heads
    plain.decoding.alignment_window = window
    fast = copy.deepcopy(plain)
    model = copy.copy(tiny_model)
    model._modules = dict(tiny_model._modules, speech_decoder=fast)
    accelerate(model, None, SMALL_STEPS)
    decelerate_lm(model)
    assert_same_units([plain, fast], unit_inputs(tiny_model), forced, greedy)


def decelerate_lm(model: Any) -> None:
    """The model shares its spoken LM with other tests."""
    model.spoken_lm.acceleration = None


@pytest.mark.parametrize(("heads", "window"), [(None, None), ([(0, 1)], NARROW)])
def test_units_stop_inside_a_group(tiny_model, heads, window):
    lengths = []
    plain, fast = copy.deepcopy(tiny_model.speech_decoder), copy.deepcopy(tiny_model.speech_decoder)
    with torch.no_grad():
        for decoder in (plain, fast):
            decoder.decoding.alignment_heads, decoder.decoding.alignment_window = heads, window
            decoder.llm_decoder.bias[decoder.stop_id] += 3.0
    from taste_speech.acceleration.unit_runner import UnitRunner

    fast.runner = UnitRunner(SMALL_STEPS)
    for seed in range(8):
        ids = [
            decoder.generate(
                *unit_inputs(tiny_model),
                generator=torch.Generator().manual_seed(seed),
                min_units=0,
                max_units=30,
            )
            for decoder in (plain, fast)
        ]
        assert torch.equal(*ids)
        lengths.append(ids[0].shape[1])
    assert len(set(lengths)) > 2
    assert min(lengths) < 30


def test_the_global_generator_serves_too(tiny_model, generator_state):
    from taste_speech.acceleration.unit_runner import UnitRunner

    results = []
    for runner in (None, UnitRunner(SMALL_STEPS)):
        decoder = copy.deepcopy(tiny_model.speech_decoder)
        decoder.runner = runner
        torch.manual_seed(11)
        results.append(decoder.generate(*unit_inputs(tiny_model), min_units=5, max_units=20))
    assert torch.equal(*results)


def test_new_weights_are_noticed(tiny_model):
    from taste_speech.acceleration.unit_runner import UnitRunner

    plain, fast = copy.deepcopy(tiny_model.speech_decoder), copy.deepcopy(tiny_model.speech_decoder)
    fast.runner = UnitRunner(SMALL_STEPS)
    arguments = unit_inputs(tiny_model)
    fast.generate(*arguments, greedy=True, max_units=10)
    with torch.no_grad():
        for decoder in (plain, fast):
            for attention in decoder.llm.attentions:
                attention.linear_pos.weight.add_(0.3)
    units = [decoder.generate(*arguments, greedy=True, max_units=10) for decoder in (plain, fast)]
    assert torch.equal(*units)


@pytest.mark.parametrize("frames", [1, 17, 32, 45, 800])
@pytest.mark.parametrize("known_frames", [0, 9])
def test_padded_flow_equals_the_plain_one(tiny_processor, frames, known_frames):
    from taste_speech.acceleration.flow_runner import FlowRunner

    if known_frames >= frames:
        pytest.skip("no frame is new")
    flow = copy.deepcopy(tiny_processor.get_generator().flow.decoder)
    flow.config = flow.config.model_copy(update={"known_frames_as_prompt": True})
    generator = torch.Generator().manual_seed(1)
    noise, condition = (torch.randn(1, 40, frames, generator=generator) for _ in range(2))
    speaker = torch.randn(1, 40, generator=generator)
    known = torch.randn(1, 40, known_frames, generator=generator) if known_frames else None
    with torch.no_grad():
        plain = flow(noise, condition, speaker, known)
        flow.runner = FlowRunner(SMALL_STEPS)
        for _ in range(2):
            fast = flow(noise, condition, speaker, known)
    torch.testing.assert_close(fast, plain, atol=1e-4, rtol=1e-4)


def test_speech_is_the_same(tiny_model, tiny_processor):
    sounds = []
    for fast in (False, True):
        model, processor = copy.deepcopy(tiny_model), tiny_processor
        if fast:
            accelerate(model, model.voice, SMALL_STEPS)
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


def test_a_copied_model_is_fast_by_itself(tiny_model):
    model = copy.deepcopy(tiny_model)
    accelerate(model, None, SMALL_STEPS)
    other = copy.deepcopy(model)
    assert other.speech_decoder.runner is not model.speech_decoder.runner
    decelerate(model)
    assert model.speech_decoder.runner is None
    assert other.spoken_lm.acceleration == SMALL_STEPS


def test_without_static_shapes_the_path_is_the_plain_one(tiny_model):
    model = copy.deepcopy(tiny_model)
    accelerate(model, None, Acceleration(static_shapes=False))
    assert model.spoken_lm.acceleration is None
    assert model.spoken_lm.row_runner is None
    assert model.speech_decoder.runner is None


def test_a_replay_off_cuda_is_a_call():
    calls: list[int] = []
    replay = Replay(lambda: calls.append(1), torch.device("cpu"))
    assert calls == []
    replay()
    assert calls == [1]
