"""Weights kept in half precision give what a float32 model with the same, rounded, weights gives."""

import copy
from typing import Any

import pytest
import torch

from taste_speech.acceleration import Acceleration, accelerate, decelerate, switch
from taste_speech.acceleration.switch import HalfHead
from taste_speech.cpu import can_pack
from taste_speech.streaming.layout import Row
from taste_speech.streaming.row_cache import RowCache
from tests.talk import FOLLOW_UP, QUESTION, stream, talk, words_of

pytestmark = pytest.mark.skipif(not can_pack(), reason="this PyTorch has no product with half weights")
ROWS = [Row(7 * n % 300, (n % 16,) * 3 if n % 3 else None) for n in range(90)]
HALVED = Acceleration(linear="float16")
NEAR = {"atol": 2e-3, "rtol": 2e-3}  # the last step of half precision


@pytest.fixture(params=["one table", "a head of its own"])
def both(tiny_model: Any, request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """A plain model whose weights half precision holds, and the same that keeps them in it."""
    plain = copy.deepcopy(tiny_model)
    if request.param == "one table":
        llama = plain.spoken_lm.language_model
        llama.model.embed_tokens.weight = llama.lm_head.weight
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.copy_(parameter.half())
    fast = copy.deepcopy(plain)
    accelerate(fast, None, HALVED)
    return plain, fast


def _memory(model: Any) -> RowCache:
    return RowCache(model.spoken_lm, model.audio_tower.quantizer)


def _logits(model: Any) -> torch.Tensor:
    memory = _memory(model)
    memory.advance_to(ROWS[:20])
    memory.append(ROWS[20])
    return memory.logits


def test_weights_are_there_once(both: tuple[Any, Any]) -> None:
    plain, llama = (model.spoken_lm.language_model for model in both)
    assert {p.dtype for p in llama.parameters() if p.dim() == 2} == {torch.float16}
    assert not any(isinstance(part, torch.nn.Linear) for part in llama.modules())
    assert isinstance(llama.lm_head, HalfHead) == (plain.lm_head.weight is plain.model.embed_tokens.weight)
    assert sum(p.dim() == 2 for p in llama.parameters()) == 1  # the table
    assert llama.model.norm.weight.dtype == both[1].spoken_lm.dtype == torch.float32


def test_steps_after_a_prefill_a_cut_and_a_copy(both: tuple[Any, Any]) -> None:
    memories = [_memory(model) for model in both]
    for memory in memories:
        memory.advance_to(ROWS[:30])
    torch.testing.assert_close(memories[1].logits, memories[0].logits, **NEAR)
    for row in ROWS[30:]:
        for memory in memories:
            memory.append(row)
        torch.testing.assert_close(memories[1].logits, memories[0].logits, **NEAR)
        assert memories[1].read_taste() == memories[0].read_taste()
    copies = [memory.clone() for memory in memories]
    for memory in memories:
        memory.advance_to(ROWS[:12])
    for row in ROWS[:3]:
        for memory in (*memories, *copies):
            memory.append(row)
    torch.testing.assert_close(memories[1].logits, memories[0].logits, **NEAR)
    torch.testing.assert_close(copies[1].logits, copies[0].logits, **NEAR)
    assert (copies[1].logits - memories[1].logits).abs().max() > 0.01


def test_all_rows_can_have_logits(both: tuple[Any, Any]) -> None:
    rows = torch.randn(
        2, 7, both[0].config.text_config.hidden_size, generator=torch.Generator().manual_seed(0)
    )
    with torch.no_grad():
        found = [model.spoken_lm(rows)[1] for model in both]
    assert found[1].shape == (2, 7, both[0].config.text_config.vocab_size)
    torch.testing.assert_close(*found, **NEAR)


def test_replies_are_the_same(both: tuple[Any, Any], tiny_processor: Any) -> None:
    replies = [
        words_of(stream(talk(model, tiny_processor, QUESTION, FOLLOW_UP), model, tiny_processor))
        for model in both
    ]
    assert replies[0] == replies[1]
    assert len(replies[0]) > 5


def test_a_copied_model_answers_alike(both: tuple[Any, Any]) -> None:
    fast = both[1]
    other = copy.deepcopy(fast)
    assert other.spoken_lm.row_runner is not fast.spoken_lm.row_runner
    with torch.no_grad():
        fast.spoken_lm.language_model.model.norm.weight.mul_(2)
    torch.testing.assert_close(2 * _logits(other), _logits(fast), **NEAR)


def test_rows_of_all_small_types_equal_their_plain_steps(tiny_model: Any) -> None:
    for kind in ("float16", "int8"):
        model = copy.deepcopy(tiny_model)
        accelerate(model, None, Acceleration(linear=kind))
        assert model.spoken_lm.row_runner is not None
        by_rows = _logits(model)
        decelerate(model)
        torch.testing.assert_close(by_rows, _logits(model), atol=2e-2, rtol=1e-2)


def test_a_cpu_that_cannot_keeps_float32(tiny_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switch, "can_pack", lambda: False)
    model = copy.deepcopy(tiny_model)
    accelerate(model, None, HALVED)
    torch.testing.assert_close(_logits(model), _logits(tiny_model), atol=2e-4, rtol=1e-3)
    assert model.spoken_lm.language_model.lm_head.weight.dtype == torch.float32
