"""Conversations: cutting back to what was heard, taking turns back, windows, clones."""

import copy
import itertools
from typing import Any

import pytest
import torch

from taste_speech import CheckpointError, TasteConfig
from taste_speech.streaming import Conversation, TASTESegment, Word, every_words
from taste_speech.streaming.layout import row_list
from tests.talk import FOLLOW_UP, QUESTION, spoken, stream, talk, words_of


def system(processor: Any) -> TASTESegment:
    return TASTESegment("system", "text", torch.tensor([processor.llm_tokenizer.encode(" you help people.")]))


def history(model: Any, processor: Any, segments: Any) -> Conversation:
    conversation = Conversation(model, processor)
    for segment in segments:
        conversation.append(segment)
    return conversation


def next_turn(conversation: Conversation, model: Any, processor: Any) -> list[Word]:
    """The reply to a further question."""
    conversation.append(spoken(processor, model, FOLLOW_UP))
    return words_of(stream(conversation, model, processor, seed=7, max_length=10))


def same(one: TASTESegment, other: TASTESegment) -> bool:
    return one.role == other.role and one.words == other.words


@pytest.mark.parametrize("emitted", range(7))
@pytest.mark.parametrize("unheard", [0, 1])
def test_cut_anywhere_the_next_turn_equals_that_of_a_fresh_conversation(
    emitted: int, unheard: int, tiny_model: Any, tiny_processor: Any
) -> None:
    heard = max(emitted - unheard, 0)
    conversation = talk(tiny_model, tiny_processor, QUESTION)
    iterator = stream(conversation, tiny_model, tiny_processor, emit_timing_func=every_words(1))
    said = words_of(itertools.islice(iterator, emitted))
    iterator.close()  # type: ignore[attr-defined]
    if conversation.reply is not None:
        conversation.commit_heard(heard)
        assert conversation.segments[-1].words == said[:heard]
        rest = conversation.unspoken.words if conversation.unspoken else []
        assert rest[: emitted - heard] == said[heard:]
    segments = conversation.segments
    fresh = history(tiny_model, tiny_processor, segments)
    assert next_turn(conversation, tiny_model, tiny_processor) == next_turn(fresh, tiny_model, tiny_processor)
    fresh_rows = row_list(fresh.segments[:-1], fresh.format)
    assert list(conversation.lm_state.rows)[: len(fresh_rows)] == fresh_rows


@pytest.mark.parametrize("heard", [0, 1, 5])
def test_a_finished_answer_can_be_cut_too(heard: int, tiny_model: Any, tiny_processor: Any) -> None:
    conversation = talk(tiny_model, tiny_processor, QUESTION)
    said = words_of(stream(conversation, tiny_model, tiny_processor))
    conversation.commit_heard(heard)
    assert conversation.segments[-1].words == said[:heard]
    assert conversation.unspoken is not None
    assert conversation.unspoken.words == said[heard:]
    fresh = history(tiny_model, tiny_processor, conversation.segments)
    assert next_turn(conversation, tiny_model, tiny_processor) == next_turn(fresh, tiny_model, tiny_processor)


def test_an_answer_that_was_heard_leaves_nothing_unspoken(tiny_model: Any, tiny_processor: Any) -> None:
    conversation = talk(tiny_model, tiny_processor, QUESTION)
    said = words_of(stream(conversation, tiny_model, tiny_processor))
    conversation.commit_heard(2)
    conversation.commit_heard(2)
    assert conversation.unspoken is None
    assert conversation.segments[-1].words == said[:2]


def test_a_cut_answer_costs_the_next_turn_nothing_but_its_own_rows(
    tiny_model: Any, tiny_processor: Any
) -> None:
    conversation = talk(tiny_model, tiny_processor, QUESTION)
    list(stream(conversation, tiny_model, tiny_processor))
    conversation.commit_heard(3)
    before = conversation.lm_state.forwarded_rows
    question = spoken(tiny_processor, tiny_model, FOLLOW_UP)
    conversation.append(question)
    conversation.prefill()
    # SEGMENT_END of the answer; START, USER, text and END of the question; the closing START.
    assert conversation.lm_state.forwarded_rows - before == 1 + (2 + question.text_ids.shape[1] + 1) + 1


def test_a_person_who_goes_on_talking_costs_only_what_they_add(tiny_model: Any, tiny_processor: Any) -> None:
    conversation = talk(tiny_model, tiny_processor, QUESTION)
    conversation.prefill()
    first = conversation.pop()
    assert same(first, spoken(tiny_processor, tiny_model, QUESTION))
    more = spoken(tiny_processor, tiny_model, FOLLOW_UP)
    joined = TASTESegment.from_words("user", first.words + more.words, tiny_model.num_quantizers)
    conversation.append(joined)
    before = conversation.lm_state.forwarded_rows
    conversation.prefill()
    # The first turn's text stays; its END gives way to the new words, then END and START.
    assert conversation.lm_state.forwarded_rows - before == more.text_ids.shape[1] + 2
    fresh = history(tiny_model, tiny_processor, [joined])
    assert conversation.prefill() == pytest.approx(fresh.prefill(), abs=1e-5)


def test_pop_takes_back_an_open_reply_first(tiny_model: Any, tiny_processor: Any) -> None:
    conversation = talk(tiny_model, tiny_processor, QUESTION)
    iterator = stream(conversation, tiny_model, tiny_processor, emit_timing_func=every_words(1))
    said = words_of(itertools.islice(iterator, 2))
    iterator.close()  # type: ignore[attr-defined]
    assert conversation.pop().words[:2] == said
    assert conversation.reply is None
    assert conversation.pop().role == "user"
    with pytest.raises(ValueError, match="no segment to remove"):
        conversation.pop()


def test_clones_go_their_own_way(tiny_model: Any, tiny_processor: Any) -> None:
    conversation = talk(tiny_model, tiny_processor, QUESTION)
    conversation.prefill()
    clone = conversation.clone()
    expected = words_of(stream(clone, tiny_model, tiny_processor))
    assert len(conversation.segments) == 1
    assert words_of(stream(conversation, tiny_model, tiny_processor)) == expected


def test_reset_forgets_everything(tiny_model: Any, tiny_processor: Any) -> None:
    conversation = talk(tiny_model, tiny_processor, QUESTION)
    expected = words_of(stream(conversation, tiny_model, tiny_processor))
    conversation.reset()
    assert conversation.segments == ()
    assert conversation.status == "idle"
    assert conversation.speak_probability is None
    conversation.append(spoken(tiny_processor, tiny_model, QUESTION))
    assert words_of(stream(conversation, tiny_model, tiny_processor)) == expected


def test_the_window_keeps_the_system_segment_and_the_newest_turns(
    tiny_model: Any, tiny_processor: Any
) -> None:
    conversation = history(tiny_model, tiny_processor, [system(tiny_processor)])
    conversation.config = conversation.config.model_copy(update={"max_history_tokens": 120})
    longest = 0
    for turn in range(12):
        conversation.append(spoken(tiny_processor, tiny_model, QUESTION, seed=turn))
        words_of(stream(conversation, tiny_model, tiny_processor, seed=turn, max_length=8))
        longest = max(longest, len(conversation.lm_state.rows))
        assert conversation.segments[0].role == "system"
        assert conversation.segments[1].role == "user"
        assert conversation.segments[-1].role == "assistant"
    assert 60 < longest <= 120 + 12
    fresh = history(tiny_model, tiny_processor, conversation.segments)
    conversation.config = fresh.config  # room for both to answer once more
    assert next_turn(conversation, tiny_model, tiny_processor) == next_turn(fresh, tiny_model, tiny_processor)


def test_many_interrupted_turns_leave_a_bounded_state(tiny_model: Any, tiny_processor: Any) -> None:
    conversation = history(tiny_model, tiny_processor, [system(tiny_processor)])
    conversation.config = conversation.config.model_copy(update={"max_history_tokens": 100})
    for turn in range(30):
        conversation.append(spoken(tiny_processor, tiny_model, QUESTION, seed=turn))
        iterator = stream(
            conversation, tiny_model, tiny_processor, seed=turn, emit_timing_func=every_words(1)
        )
        said = words_of(itertools.islice(iterator, turn % 4))
        iterator.close()  # type: ignore[attr-defined]
        if conversation.reply is not None:
            conversation.commit_heard(len(said) // 2)
    held = conversation.lm_state._cache.get_seq_length()
    assert held == len(conversation.lm_state.rows) < 150


def test_without_role_tokens_it_always_speaks_and_stops_at_a_sentence(
    tiny_model: Any, tiny_processor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    streaming = tiny_model.config.streaming.model_copy(
        update={"trained_with_role_tokens": False, "extra_words": 2}
    )
    monkeypatch.setattr(tiny_model.config, "streaming", streaming)
    conversation = talk(tiny_model, tiny_processor, QUESTION)
    items = list(stream(conversation, tiny_model, tiny_processor, max_length=100))
    assert conversation.speak_probability == 1.0
    assert items[-1]["completion_reason"] == "finished"
    words = words_of(items)
    assert 3 <= len(words) <= 3 * 2 + 1
    assert all(word.taste is not None for word in words)
    text = tiny_processor.llm_tokenizer.decode([row.text_id for row in conversation.lm_state.rows])
    assert text.startswith(f"<|begin_of_text|>User: {QUESTION}\nAssistant:")
    fresh = history(tiny_model, tiny_processor, conversation.segments)
    assert next_turn(conversation, tiny_model, tiny_processor) == next_turn(fresh, tiny_model, tiny_processor)


def test_wrong_use_is_refused(tiny_model: Any, tiny_processor: Any) -> None:
    conversation = talk(tiny_model, tiny_processor, QUESTION)
    with pytest.raises(ValueError, match="not an audio answer of the assistant"):
        conversation.commit_heard(0)
    iterator = stream(conversation, tiny_model, tiny_processor, emit_timing_func=every_words(1))
    next(iterator)
    with pytest.raises(ValueError, match="a reply is still open; continue it"):
        conversation.append(spoken(tiny_processor, tiny_model, QUESTION))
    with pytest.raises(
        ValueError, match="n_words is 2; 1 words of the last answer were emitted; give 0 to 1"
    ):
        conversation.commit_heard(2)
    with pytest.raises(ValueError, match="n_words is -1"):
        conversation.commit_heard(-1)
    conversation.commit_heard(1)
    with pytest.raises(ValueError, match="text_ids holds the special token"):
        conversation.append(
            TASTESegment("user", "text", torch.tensor([[tiny_model.config.vocabulary.first_special_id]]))
        )


def test_a_delay_of_two_words_is_refused(
    tiny_model: Any, tiny_processor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        tiny_model.config, "spoken_lm_config", TasteConfig(spoken_lm_config={"delay": 2}).spoken_lm_config
    )
    with pytest.raises(
        CheckpointError, match="delays taste tokens by 2 words; streaming needs a delay of 1 word"
    ):
        Conversation(tiny_model, tiny_processor)


@pytest.mark.parametrize("copied", [copy.copy, Conversation.clone])
def test_a_copy_in_mid_reply_goes_on_by_itself(copied: Any, tiny_model: Any, tiny_processor: Any) -> None:
    expected = words_of(stream(talk(tiny_model, tiny_processor, QUESTION), tiny_model, tiny_processor))
    conversation = talk(tiny_model, tiny_processor, QUESTION)
    items = stream(conversation, tiny_model, tiny_processor, emit_timing_func=every_words(1))
    heard = words_of([next(items)])
    other = copied(conversation)
    assert other.reply is not conversation.reply
    list(stream(other, tiny_model, tiny_processor, seed=5))
    assert heard + words_of(items) == expected
    assert conversation.segments[-1].words == expected
