"""Replies: what is emitted and when, how they end, and that they can be stopped anywhere."""

import copy
import itertools
from typing import Any

import pytest
import torch

from taste_speech.streaming import Conversation, TASTESegment, every_words, streaming_generate
from tests.talk import QUESTION, spoken, stream, talk, words_of


def test_items_carry_new_whole_words(tiny_model: Any, tiny_processor: Any) -> None:
    conversation = talk(tiny_model, tiny_processor, QUESTION)
    items = list(stream(conversation, tiny_model, tiny_processor, emit_timing_func=every_words(1)))
    assert [item["completion_reason"] for item in items] == ["speaking"] * (len(items) - 1) + ["max_length"]
    assert [item["is_complete"] for item in items] == [False] * (len(items) - 1) + [True]
    assert len(items) > 5
    assert all(len(item["segment"].words) == 1 for item in items)
    for item in items:
        segment = item["segment"]
        assert (segment.role, segment.modality) == ("assistant", "audio")
        assert segment.words[0].taste is not None
    reply = conversation.segments[-1]
    assert reply.words == words_of(items)
    assert reply.text_ids.shape[1] == 30
    assert conversation.status == "max_length"


def test_tokens_do_not_depend_on_chunking(tiny_model: Any, tiny_processor: Any) -> None:
    replies = []
    for timing in (every_words(1), every_words(3), None, lambda context: False):
        conversation = talk(tiny_model, tiny_processor, QUESTION)
        items = list(stream(conversation, tiny_model, tiny_processor, emit_timing_func=timing))
        replies.append(words_of(items))
    assert len(items) == 1
    assert all(reply == replies[0] for reply in replies)


def test_uncached_rows_give_the_same_reply(tiny_model: Any, tiny_processor: Any) -> None:
    conversation = talk(tiny_model, tiny_processor, QUESTION)
    expected = words_of(stream(conversation, tiny_model, tiny_processor))
    naive = talk(tiny_model, tiny_processor, QUESTION)

    def append_uncached(row: Any) -> None:
        rows = [*naive.lm_state.rows, row]
        naive.lm_state.reset()
        naive.lm_state.advance_to(rows)

    naive.lm_state.append = append_uncached  # type: ignore[method-assign]
    assert words_of(stream(naive, tiny_model, tiny_processor)) == expected
    assert naive.lm_state.forwarded_rows > 10 * conversation.lm_state.forwarded_rows


def test_each_step_forwards_one_row(
    tiny_model: Any, tiny_processor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    forwarded: list[int] = []
    forward = type(tiny_model.spoken_lm).forward

    def counting(lm: Any, rows: Any, *arguments: Any, **options: Any) -> Any:
        forwarded.append(rows.shape[1])
        return forward(lm, rows, *arguments, **options)

    monkeypatch.setattr(type(tiny_model.spoken_lm), "forward", counting)
    conversation = talk(tiny_model, tiny_processor, QUESTION)
    list(stream(conversation, tiny_model, tiny_processor, max_length=12))
    # The prompt in one call; then the role row, and one row for each of the 12 tokens.
    assert forwarded == [forwarded[0]] + [1] * 13
    first_turn = forwarded[0]
    forwarded.clear()
    conversation.append(spoken(tiny_processor, tiny_model, QUESTION))
    list(stream(conversation, tiny_model, tiny_processor, max_length=2))
    # The next turn costs the end of the reply and its own tokens: BOS is not paid for again.
    assert forwarded == [first_turn, 1, 1, 1]


def test_end_token_finishes_the_reply(tiny_model: Any, tiny_processor: Any) -> None:
    conversation = talk(tiny_model, tiny_processor, QUESTION)
    words = words_of(stream(conversation, tiny_model, tiny_processor))
    stop = words[4].ids[0]
    assert all(stop not in word.ids for word in words[:4])
    conversation = talk(tiny_model, tiny_processor, QUESTION)
    items = list(stream(conversation, tiny_model, tiny_processor, eos_id=stop))
    assert items[-1]["completion_reason"] == "finished"
    assert words_of(items) == words[:4]
    assert conversation.status == "finished"


def say(text: str, conversation: Conversation, patch: pytest.MonkeyPatch) -> None:
    """Let the model draw `text` and go on with its end of turn."""
    ids = iter(conversation.tokenizer.encode(text, add_special_tokens=False))
    end = next(iter(conversation.stop_ids))
    patch.setattr("taste_speech.streaming.generator.sample_text", lambda *_, **__: next(ids, end))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (" yes. yes. yes. yes. yes.", 3),
        (" go on. go on. it is. go on. and so on.", 8),
        (" go on. go on, go on. it is. go on. and so on.", 13),
        (" go on? go on? go on? go on?", 6),
        (" yes. no. yes. no. it is.", 6),
        (" it is a no, go on, go on, go on, go on, go on", 10),
        (" a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d", 12),
        (" no no no no no no no no", 6),
        (" no, no, no. it is a go, go on.", 9),
        (" go on, go on, it is. go on, go on, it is.", 12),
    ],
)
def test_a_sentence_or_a_run_of_words_is_said_three_times_at_most(
    text: str, said: int, tiny_model: Any, tiny_processor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = talk(tiny_model, tiny_processor, QUESTION)
    say(text, conversation, monkeypatch)
    items = list(stream(conversation, tiny_model, tiny_processor, max_length=200))
    assert items[-1]["completion_reason"] == "finished"
    assert len(words_of(items)) == said
    assert conversation.segments[-1].words == words_of(items)


def test_a_given_end_token_adds_to_the_checkpoints_own(tiny_model: Any, tiny_processor: Any) -> None:
    conversation = talk(tiny_model, tiny_processor, QUESTION)
    own = conversation.stop_ids
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("taste_speech.streaming.generator.sample_text", lambda *_, **__: next(iter(own)))
        items = list(stream(conversation, tiny_model, tiny_processor, eos_id=9))
    assert items[-1]["completion_reason"] == "finished"
    assert words_of(items) == []


def test_segment_end_is_the_default_end(tiny_model: Any, tiny_processor: Any) -> None:
    greedy = {"text_top_p": 0.0, "emit_timing_func": every_words(1)}
    words = words_of(stream(talk(tiny_model, tiny_processor, QUESTION), tiny_model, tiny_processor, **greedy))
    last = next(
        i for i, word in enumerate(words) if i > 1 and all(word.ids[0] not in old.ids for old in words[:i])
    )
    model = copy.deepcopy(tiny_model)
    end = tiny_processor.llm_tokenizer.convert_tokens_to_ids("<|reserved_special_token_51|>")
    swapped = [end, words[last].ids[0]]
    with torch.no_grad():
        head = model.spoken_lm.language_model.lm_head.weight
        head[swapped] = head[swapped[::-1]]
    items = list(stream(talk(model, tiny_processor, QUESTION), model, tiny_processor, **greedy))
    assert items[-1]["completion_reason"] == "finished"
    assert words_of(items) == words[:last]


def test_special_tokens_are_never_said(tiny_model: Any, tiny_processor: Any) -> None:
    conversation = talk(tiny_model, tiny_processor, QUESTION)
    items = stream(
        conversation,
        tiny_model,
        tiny_processor,
        text_top_p=1.0,
        text_temperature=100.0,
        max_length=200,
        eos_id=tiny_model.config.spoken_lm_config.sos_id,
    )
    first_special = tiny_model.config.vocabulary.first_special_id
    assert max(token for word in words_of(items) for token in word.ids) < first_special


def test_the_models_role_token_decides(tiny_model: Any, tiny_processor: Any) -> None:
    model = copy.deepcopy(tiny_model)
    ids = tiny_processor.llm_tokenizer.convert_tokens_to_ids(
        ["<|reserved_special_token_53|>", "<|reserved_special_token_54|>"]
    )
    with torch.no_grad():
        head = model.spoken_lm.language_model.lm_head.weight
        head[ids] = head[ids[::-1]]
    conversation = talk(model, tiny_processor, QUESTION)
    items = stream(conversation, model, tiny_processor)
    assert conversation.speak_probability is not None
    assert conversation.speak_probability < 0.5
    (item,) = items
    assert item["is_complete"]
    assert item["completion_reason"] == "no_speech"
    assert item["segment"].text_ids.shape == (1, 0)
    assert conversation.status == "no_speech"
    assert len(conversation.segments) == 1


def test_probability_of_speaking_is_known_before_the_first_item(tiny_model: Any, tiny_processor: Any) -> None:
    conversation = talk(tiny_model, tiny_processor, QUESTION)
    assert conversation.speak_probability is None
    stream(conversation, tiny_model, tiny_processor)
    assert conversation.speak_probability is not None
    assert 0.5 < conversation.speak_probability < 1


@pytest.mark.parametrize("steps", range(14))
@pytest.mark.parametrize("way", ["should_stop", "close"])
def test_interrupted_anywhere_it_goes_on_as_if_nothing_was(
    steps: int, way: str, tiny_model: Any, tiny_processor: Any
) -> None:
    whole = words_of(
        stream(talk(tiny_model, tiny_processor, QUESTION), tiny_model, tiny_processor, max_length=14)
    )
    conversation = talk(tiny_model, tiny_processor, QUESTION)
    generator = torch.Generator().manual_seed(0)
    settings = {"max_length": 14, "generator": generator, "emit_timing_func": every_words(2)}
    if way == "should_stop":
        ticks = itertools.count()
        items = list(
            stream(
                conversation, tiny_model, tiny_processor, should_stop=lambda: next(ticks) >= steps, **settings
            )
        )
        assert items[-1]["completion_reason"] == "interrupted"
    else:
        iterator = stream(conversation, tiny_model, tiny_processor, **settings)
        items = list(itertools.islice(iterator, steps // 2))
        iterator.close()  # type: ignore[attr-defined]
        if items and items[-1]["is_complete"]:
            return
        assert conversation.status in ("interrupted", "idle")
    rest = list(stream(conversation, tiny_model, tiny_processor, **settings))
    assert words_of(items) + words_of(rest) == whole
    assert rest[-1]["completion_reason"] == "max_length"


def test_the_future_does_not_change_what_was_emitted(tiny_model: Any, tiny_processor: Any) -> None:
    conversation = talk(tiny_model, tiny_processor, QUESTION)
    items = stream(conversation, tiny_model, tiny_processor, emit_timing_func=every_words(1))
    early = words_of(itertools.islice(items, 4))
    branch = conversation.clone()
    other = words_of(
        stream(branch, tiny_model, tiny_processor, seed=99, text_temperature=5.0, text_top_p=1.0)
    )
    rest = words_of(items)
    assert other != rest
    assert conversation.segments[-1].words == early + rest
    assert branch.segments[-1].words == early + other


def test_interleaved_conversations_equal_separate_ones(tiny_model: Any, tiny_processor: Any) -> None:
    questions = ("what time is it?", "tell me about the old library.")
    separate = [
        words_of(stream(talk(tiny_model, tiny_processor, q), tiny_model, tiny_processor, seed=i))
        for i, q in enumerate(questions)
    ]
    streams = [
        stream(
            talk(tiny_model, tiny_processor, q),
            tiny_model,
            tiny_processor,
            seed=i,
            emit_timing_func=every_words(1),
        )
        for i, q in enumerate(questions)
    ]
    mixed: list[list[Any]] = [[], []]
    for pair in itertools.zip_longest(*streams):
        for index, item in enumerate(pair):
            mixed[index] += words_of([item] if item else [])
    assert mixed == separate


def test_without_state_the_segments_are_the_conversation(tiny_model: Any, tiny_processor: Any) -> None:
    segments = [
        TASTESegment("system", "text", torch.tensor([tiny_processor.llm_tokenizer.encode(" you help")])),
        spoken(tiny_processor, tiny_model, QUESTION),
    ]
    items = list(streaming_generate(tiny_model, tiny_processor, segments, text_top_p=0, max_length=8))
    conversation = Conversation(tiny_model, tiny_processor)
    for segment in segments:
        conversation.append(segment)
    assert words_of(items) == words_of(
        stream(conversation, tiny_model, tiny_processor, text_top_p=0, max_length=8)
    )


def test_sampling_settings_reach_the_sampler(tiny_model: Any, tiny_processor: Any) -> None:
    def reply(**settings: Any) -> Any:
        conversation = talk(tiny_model, tiny_processor, QUESTION)
        return words_of(stream(conversation, tiny_model, tiny_processor, **settings))

    greedy = reply(text_top_p=0.0)
    assert reply(text_top_p=0.0, seed=5) == greedy
    assert reply(text_temperature=0.001, repetition_penalty=1.0, seed=5) == reply(
        text_temperature=0.001, repetition_penalty=1.0
    )
    assert reply(text_temperature=3.0, seed=5) != reply(text_temperature=3.0)
    ids = [token for word in reply(text_top_p=1.0, repetition_penalty=1e6) for token in word.ids]
    assert len(ids) == len(set(ids))
    assert reply(taste_top_p=0.9) == reply()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text_top_p": 1.5}, "text_top_p is 1.5; give a number from 0"),
        ({"text_top_p": float("nan")}, "text_top_p is nan; give a number from 0"),
        ({"taste_top_p": -1}, "taste_top_p is -1; give a number from 0"),
        ({"text_temperature": 0}, "text_temperature is 0; give a number above 0"),
        ({"repetition_penalty": 0}, "repetition_penalty is 0; give a number above 0"),
        ({"max_length": 0}, "max_length is 0; give 1 or more"),
        ({"eos_id": 10**6}, "eos_id is 1000000; give an id below"),
        ({"input_segments": ["hello"]}, "input_segments holds a str; give TASTESegment"),
    ],
)
def test_wrong_arguments_are_refused_at_the_call(
    arguments: dict[str, Any], message: str, tiny_model: Any, tiny_processor: Any
) -> None:
    with pytest.raises(ValueError, match=message):
        streaming_generate(tiny_model, tiny_processor, **{"input_segments": []} | arguments)


@pytest.mark.parametrize("wrong", ["hello", TASTESegment("user", "text", torch.tensor([[10**6]]))])
def test_a_refused_call_changes_nothing(wrong: Any, tiny_model: Any, tiny_processor: Any) -> None:
    conversation = talk(tiny_model, tiny_processor, QUESTION)
    conversation.prefill()
    before, rows = conversation.segments, conversation.lm_state.rows
    new = spoken(tiny_processor, tiny_model, QUESTION)
    with pytest.raises(ValueError, match=r"give TASTESegment objects|text_ids holds 1000000"):
        streaming_generate(tiny_model, tiny_processor, [new, wrong], state=conversation)
    assert conversation.segments == before
    assert conversation.lm_state.rows == rows
