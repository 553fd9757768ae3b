"""The protocol, event by event, against a scripted brain."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from taste_agent.serve.errors import SessionOver
from taste_agent.serve.limits import Limits
from tests.taste_agent.fakes import FakeBrain
from tests.taste_agent.serve.talking import Client, error_of
from tests.taste_agent.speech import silence, spoken, track

QUESTION = "what is the capital of italy"
ANSWER = "the capital of italy is rome"
KNOWN = TypeAdapter(RealtimeServerEvent)


def question(text: str = QUESTION) -> np.ndarray:
    return track(silence(0.5), spoken(text), silence(1.2))


def asked(*overrides: str, **fields: Any) -> Client:
    client = Client(FakeBrain(heard=[QUESTION], replies=[ANSWER]), *overrides)
    if fields:
        client.send("session.update", session=fields)
    return client


def test_a_question_by_voice_is_answered_in_the_order_of_the_protocol() -> None:
    client = asked()
    client.say(question())
    client.wait()
    kinds = [kind for kind in client.kinds if not kind.endswith(".delta")]
    assert kinds == [
        "session.created",
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "conversation.item.input_audio_transcription.completed",
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    ]
    done = client.of("response.done")[0]["response"]
    assert done["status"] == "completed"
    assert done["output"][0]["content"] == [{"type": "output_audio", "transcript": ANSWER}]
    (heard,) = client.of("conversation.item.input_audio_transcription.completed")
    assert heard["transcript"] == QUESTION
    started, stopped = (
        client.of("input_audio_buffer.speech_started"),
        client.of("input_audio_buffer.speech_stopped"),
    )
    assert 300 <= started[0]["audio_start_ms"] <= 700
    assert stopped[0]["audio_end_ms"] > started[0]["audio_start_ms"] + 500
    assert started[0]["item_id"] == heard["item_id"]


def test_every_event_is_one_that_the_openai_package_knows() -> None:
    client = asked(instructions="be brief")
    client.say(question())
    client.wait()
    client.type("and of france")
    client.send("response.create")
    client.wait(1.0)
    client.send("response.cancel")
    client.send("nonsense")
    assert "conversation.item.truncated" in client.kinds
    for event in client.events:
        KNOWN.validate_python(event)


def test_the_sound_is_that_of_the_words_and_the_transcript_comes_with_it() -> None:
    client = asked()
    client.say(question())
    client.wait()
    words = len(ANSWER.split())
    assert len(client.sound()) / 24000 == pytest.approx(0.4 * words, abs=0.03)
    deltas = "".join(event["delta"] for event in client.of("response.output_audio_transcript.delta"))
    assert deltas == ANSWER


def test_what_is_heard_is_told_as_it_becomes_sure() -> None:
    client = asked()
    client.say(question())
    deltas = [event["delta"] for event in client.of("conversation.item.input_audio_transcription.delta")]
    assert len(deltas) > 1
    assert QUESTION.startswith("".join(deltas))


def test_usage_counts_what_was_read_and_made() -> None:
    client = asked()
    client.say(question())
    client.wait()
    usage = client.of("response.done")[0]["response"]["usage"]
    assert usage["input_tokens"] == 12
    assert usage["input_token_details"]["cached_tokens"] == 0
    assert usage["output_tokens"] == 12
    assert usage["total_tokens"] == 24


def test_something_typed_is_answered_when_a_response_is_asked_for() -> None:
    client = asked()
    created = client.type("hello")
    assert [event["type"] for event in created] == ["conversation.item.added", "conversation.item.done"]
    client.wait(2.0)
    assert "response.created" not in client.kinds
    client.send("response.create", response={"metadata": {"topic": "greeting"}})
    client.wait()
    done = client.of("response.done")[0]["response"]
    assert done["status"] == "completed"
    assert done["metadata"] == {"topic": "greeting"}
    assert client.brain.history == [("user", "hello"), ("assistant", ANSWER)]


def test_without_turn_detection_a_commit_makes_an_item_and_a_response_answers_it() -> None:
    client = asked(audio={"input": {"turn_detection": None}})
    client.say(question())
    client.wait(3.0)
    assert "input_audio_buffer.speech_started" not in client.kinds
    committed = client.send("input_audio_buffer.commit")
    assert committed[0]["type"] == "input_audio_buffer.committed"
    client.wait(3.0)
    assert "response.created" not in client.kinds
    client.send("response.create")
    client.wait()
    (heard,) = client.of("conversation.item.input_audio_transcription.completed")
    assert heard["transcript"] == QUESTION
    assert heard["item_id"] == committed[0]["item_id"]
    assert client.of("response.done")[0]["response"]["status"] == "completed"
    assert client.kinds.count("input_audio_buffer.committed") == 1


def test_a_recording_in_an_item_is_answered_too() -> None:
    client = asked()
    (sound,) = client.encoded(question(), chunk_s=60)
    content = [{"type": "input_audio", "audio": base64.b64encode(sound).decode()}]
    client.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})
    client.send("response.create")
    client.wait()
    assert client.of("conversation.item.input_audio_transcription.completed")[0]["transcript"] == QUESTION
    assert client.of("response.done")[0]["response"]["status"] == "completed"


def long_answer(words: int = 40) -> str:
    return " ".join(f"word{index}" for index in range(words))


def test_speaking_over_the_agent_stops_it_and_the_memory_keeps_what_was_heard() -> None:
    brain = FakeBrain(heard=["tell me a story", "stop that please"], replies=[long_answer(), "all right"])
    client = Client(brain)
    client.say(question("tell me a story"))
    client.wait(4.0, until="response.done")
    client.say(track(spoken("stop that please"), silence(1.5)))
    cancelled = client.of("response.done")[0]["response"]
    assert cancelled["status"] == "cancelled"
    assert cancelled["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    heard = cancelled["output"][0]["content"][0]["transcript"].split()
    assert 2 <= len(heard) < 20
    (cut,) = client.of("conversation.item.truncated")
    assert cut["audio_end_ms"] >= 400 * len(heard)
    client.wait()
    assert client.of("response.done")[1]["response"]["status"] == "completed"
    assert brain.history[:2] == [("user", "tell me a story"), ("assistant", " ".join(heard))]


def test_truncating_cuts_the_memory_to_the_words_that_the_client_played() -> None:
    brain = FakeBrain(heard=["tell me a story"], replies=[long_answer()])
    client = Client(brain)
    client.say(question("tell me a story"))
    client.wait(6.0, until="response.done")
    item = client.of("response.output_item.added")[0]["item"]["id"]
    told = client.send("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=900)
    assert told[-1]["type"] == "conversation.item.truncated"
    assert told[-1]["audio_end_ms"] == 900
    assert client.of("response.done")[0]["response"]["status_details"]["reason"] == "client_cancelled"
    assert brain.log[-1] == "settle 2"
    retrieved = client.send("conversation.item.retrieve", item_id=item)[0]["item"]
    assert retrieved["content"][0]["transcript"] == "word0 word1"


@pytest.mark.parametrize("kind", ["conversation.item.truncate", "response.cancel"])
def test_who_speaks_over_a_response_that_the_client_cuts_is_answered(kind: str) -> None:
    brain = FakeBrain(heard=["tell me a story", "stop that please"], replies=[long_answer(), "all right"])
    client = Client(brain)
    client.say(question("tell me a story"))
    client.wait(4.0, until="response.done")
    item = client.of("response.output_item.added")[0]["item"]["id"]
    over = track(spoken("stop that please"), silence(1.5))
    client.say(over[:8000])
    assert client.kinds.count("input_audio_buffer.speech_started") == 2
    fields = {"item_id": item, "audio_end_ms": 900} if kind.endswith("truncate") else {}
    assert "error" not in [event["type"] for event in client.send(kind, **fields)]
    assert client.of("response.done")[0]["response"]["status"] == "cancelled"
    client.say(over[8000:])
    client.wait()
    assert client.of("response.done")[1]["response"]["output"][0]["content"][0]["transcript"] == "all right"
    assert ("user", "stop that please") in brain.history


def test_cutting_an_answer_of_which_no_word_was_heard_is_no_error() -> None:
    client = Client(FakeBrain(replies=[long_answer()]))
    client.type("hello")
    client.send("response.create")
    client.wait(5.0, until="response.output_audio.delta")
    item = client.of("response.output_item.added")[0]["item"]["id"]
    client.send("response.cancel")
    told = client.send("conversation.item.truncate", item_id=item, audio_end_ms=5)
    assert [event["type"] for event in told] == ["conversation.item.truncated"]


def test_an_answer_that_is_over_can_still_be_truncated() -> None:
    client = asked()
    client.say(question())
    client.wait()
    item = client.of("response.output_item.added")[0]["item"]["id"]
    beyond = client.send("conversation.item.truncate", item_id=item, audio_end_ms=99999)
    assert error_of(beyond)["param"] == "audio_end_ms"
    client.send("conversation.item.truncate", item_id=item, audio_end_ms=1250)
    assert client.brain.log[-1] == "settle 3"


def test_a_response_can_be_cancelled() -> None:
    client = asked()
    client.type("hello")
    client.send("response.create")
    client.wait(1.5, until="response.done")
    told = client.send("response.cancel")
    assert told[-1]["type"] == "conversation.item.truncated"
    assert client.of("response.done")[0]["response"]["status"] == "cancelled"
    client.wait()
    assert client.kinds.count("response.created") == 1
    assert error_of(client.send("response.cancel"))["code"] == "response_cancel_not_active"


def test_a_turn_that_goes_on_before_its_answer_was_heard_becomes_one_item() -> None:
    brain = FakeBrain(heard=["what is the capital", "of italy"], replies=[ANSWER, ANSWER])
    client = Client(brain, "replay.compute_time=fixed", "replay.fixed.detokenize_ms=2000")
    client.say(track(silence(0.3), spoken("what is the capital"), silence(1.6)))
    client.say(track(spoken("of italy"), silence(1.0)))
    client.wait()
    replaced = client.of("conversation.item.deleted")
    assert len(replaced) == 1
    transcripts = client.of("conversation.item.input_audio_transcription.completed")
    assert [event["transcript"] for event in transcripts] == [
        "what is the capital",
        "what is the capital of italy",
    ]
    assert replaced[0]["item_id"] == transcripts[0]["item_id"]


def test_words_and_latencies_are_told_to_those_who_ask() -> None:
    client = asked(include=["taste.words", "taste.latency"])
    client.say(question())
    client.wait()
    words = client.of("taste.word")
    assert [word["text"] for word in words] == ANSWER.split()
    assert [word["audio_end_ms"] for word in words] == pytest.approx(
        [400 * (i + 1) for i in range(len(words))], abs=45
    )
    (latency,) = client.of("taste.latency")
    assert latency["waited_ms"] >= latency["silence_ms"] > 0


def test_text_can_be_asked_for_instead_of_sound() -> None:
    client = asked(output_modalities=["text"])
    client.type("hello")
    client.send("response.create")
    client.wait()
    assert not client.of("response.output_audio.delta")
    assert "".join(event["delta"] for event in client.of("response.output_text.delta")) == ANSWER
    assert client.of("response.output_text.done")[0]["text"] == ANSWER


def test_a_telephone_speaks_g711() -> None:
    for name in ("audio/pcmu", "audio/pcma"):
        client = asked(audio={"input": {"format": {"type": name}}, "output": {"format": {"type": name}}})
        client.name = name
        client.say(question())
        client.wait()
        sound = client.sound()
        assert len(sound) / 8000 == pytest.approx(0.4 * len(ANSWER.split()), abs=0.03)
        assert np.sqrt(np.mean(np.square(sound))) == pytest.approx(0.3 / np.sqrt(2), rel=0.1)


def test_the_session_takes_what_a_client_sets() -> None:
    client = asked(
        instructions="be brief",
        temperature=0.7,
        max_output_tokens=30,
        sampling={"text_top_p": 0.9, "seed": 4},
        audio={
            "input": {
                "turn_detection": {"type": "server_vad", "silence_duration_ms": 500, "prefix_padding_ms": 300}
            },
            "output": {"voice": "bert"},
        },
    )
    updated = client.of("session.updated")[0]["session"]
    assert updated["instructions"] == "be brief"
    assert updated["audio"]["output"]["voice"] == "bert"
    client.say(question())
    (used,) = client.settings_in_use
    assert (used.dialog.system_prompt, used.dialog.voice) == ("be brief", "bert")
    assert (used.sampling.text_temperature, used.sampling.text_top_p) == (0.7, 0.9)
    assert (used.sampling.max_length, used.sampling.seed) == (30, 4)
    assert (used.endpointing.min_silence_ms, used.vad.pre_roll_ms) == (500, 300)


REFUSED = [
    ({"tools": [{"type": "function", "name": "x"}]}, "session.tools"),
    ({"audio": {"output": {"voice": "carl"}}}, "session.audio.output.voice"),
    ({"audio": {"output": {"speed": 1.2}}}, "session.audio.output.speed"),
    (
        {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 48000}}}},
        "session.audio.input.format.rate",
    ),
    ({"temperature": 99}, "session.sampling.text_temperature"),
    ({"sampling": {"top_k": 4}}, "session.sampling.top_k"),
    ({"output_modalities": ["audio", "text"]}, "session.output_modalities"),
    ({"type": "transcription"}, "session.type"),
    ({"color": "red"}, "session.color"),
]


@pytest.mark.parametrize(("fields", "param"), REFUSED)
def test_what_cannot_be_had_is_refused_by_its_name(fields: dict[str, Any], param: str) -> None:
    client = asked()
    error = error_of(client.send("session.update", session=fields))
    assert error["param"] == param
    assert param in error["message"] or "voice" in error["message"]
    assert "session.updated" not in client.kinds


def test_a_client_names_no_file_as_a_voice(tmp_path: Path) -> None:
    recording = tmp_path / "me.wav"
    recording.write_bytes(b"")
    client = Client(FakeBrain(replies=[ANSWER]), f"dialog.voice={recording}")
    assert client.of("session.created")[0]["session"]["audio"]["output"]["voice"] == "default"
    error = error_of(client.send("session.update", session={"audio": {"output": {"voice": str(recording)}}}))
    assert error["param"] == "session.audio.output.voice"
    client.type("hello")
    client.send("response.create")
    assert client.settings_in_use[0].dialog.voice == str(recording)


def test_the_voice_cannot_be_changed_once_something_was_said() -> None:
    client = asked()
    client.type("hello")
    client.send("response.create")
    client.wait()
    error = error_of(client.send("session.update", session={"audio": {"output": {"voice": "bert"}}}))
    assert error["code"] == "cannot_update"
    told = client.send("session.update", session={"audio": {"input": {"turn_detection": None}}})
    assert told[-1]["type"] == "session.updated"


FAULTS = [
    ("{", "invalid_json"),
    ("[" * 100000, "invalid_json"),
    ("[]", "invalid_event"),
    ("{}", "unknown_event"),
    ('{"type": 3}', "unknown_event"),
    ('{"type": "output_audio_buffer.clear"}', "unknown_event"),
    ('{"type": "input_audio_buffer.append"}', "missing_required_parameter"),
    ('{"type": "input_audio_buffer.append", "audio": 3}', "invalid_value"),
    ('{"type": "input_audio_buffer.append", "audio": "@"}', "invalid_value"),
    ('{"type": "input_audio_buffer.append", "audio": "", "extra": 1}', "unknown_parameter"),
    ('{"type": "input_audio_buffer.commit"}', "input_audio_buffer_commit_empty"),
    ('{"type": "response.create"}', "nothing_to_answer"),
    ('{"type": "response.create", "response": {"instructions": "x"}}', "unknown_parameter"),
    ('{"type": "response.create", "response": {"conversation": "none"}}', "invalid_value"),
    ('{"type": "response.cancel"}', "response_cancel_not_active"),
    ('{"type": "conversation.item.delete", "item_id": "no"}', "item_not_found"),
    ('{"type": "conversation.item.retrieve", "item_id": "no"}', "item_not_found"),
    ('{"type": "conversation.item.truncate", "item_id": "no", "audio_end_ms": 1}', "item_not_found"),
    ('{"type": "conversation.item.truncate", "item_id": "no", "audio_end_ms": -1}', "invalid_value"),
    ('{"type": "conversation.item.create", "item": {"type": "function_call_output"}}', "invalid_value"),
    ('{"type": "session.update", "session": 1}', "invalid_value"),
    ('{"type": "session.update", "session": {"audio": null}}', "invalid_value"),
]


@pytest.mark.parametrize(("text", "code"), FAULTS)
def test_a_fault_is_told_and_the_session_goes_on(text: str, code: str) -> None:
    client = asked()
    error = error_of(client.send_text(text))
    assert error["code"] == code
    assert error["type"] == "invalid_request_error"
    client.type("hello")
    client.send("response.create")
    client.wait()
    assert client.of("response.done")[0]["response"]["status"] == "completed"


def test_an_error_names_the_event_that_caused_it() -> None:
    client = asked()
    assert error_of(client.send("response.cancel", event_id="mine"))["event_id"] == "mine"


@pytest.mark.parametrize("role", ["system", "assistant"])
def test_a_history_cannot_be_made_up(role: str) -> None:
    item = {"type": "message", "role": role, "content": [{"type": "input_text", "text": "x"}]}
    error = error_of(asked().send("conversation.item.create", item=item))
    assert error["param"] == "item.role"


def test_an_item_that_waits_can_be_deleted() -> None:
    client = asked()
    first = client.type("forget this")[0]["item"]["id"]
    client.send("conversation.item.delete", item_id=first)
    client.type("hello")
    client.send("response.create")
    client.wait()
    assert client.brain.history[0] == ("user", "hello")


@pytest.mark.parametrize(
    ("role", "left"), [("user", ("assistant", ANSWER)), ("assistant", ("user", QUESTION))]
)
def test_a_message_and_its_answer_can_be_taken_out_of_the_memory(role: str, left: tuple[str, str]) -> None:
    client = asked()
    client.say(question())
    client.wait()
    items = [
        event["item"]["id"] for event in client.of("conversation.item.added") if event["item"]["role"] == role
    ]
    told = client.send("conversation.item.delete", item_id=items[0])
    assert [event["type"] for event in told] == ["conversation.item.deleted"]
    assert client.brain.history == [left]
    assert error_of(client.send("conversation.item.retrieve", item_id=items[0]))["code"] == "item_not_found"


def test_nothing_is_deleted_while_a_response_is_in_progress() -> None:
    client = asked()
    item = client.type("hello")[0]["item"]["id"]
    client.send("response.create")
    assert error_of(client.send("conversation.item.delete", item_id=item))["code"] == "cannot_delete"


def test_one_byte_at_a_time_is_the_same_sound() -> None:
    client = asked(audio={"input": {"turn_detection": None}})
    sound = client.encoded(question(), chunk_s=60)[0][24000:25501]
    for byte in sound:
        client.now_s += 1 / 400
        client.send("input_audio_buffer.append", audio=base64.b64encode(bytes([byte])).decode())
    whole = asked(audio={"input": {"turn_detection": None}})
    whole.send("input_audio_buffer.append", audio=base64.b64encode(sound).decode())
    assert np.array_equal(*(joined(one) for one in (client, whole)))


def joined(client: Client) -> np.ndarray:
    realtime = client.realtime
    return np.concatenate([*realtime._uncommitted, realtime._decoder.finish()])


def test_only_one_response_at_a_time() -> None:
    client = asked()
    client.type("hello")
    client.send("response.create")
    client.type("and this")
    assert error_of(client.send("response.create"))["code"] == "conversation_already_has_active_response"
    client.wait()
    client.send("response.create")
    client.wait()
    assert client.kinds.count("response.done") == 2


def test_too_many_messages_end_the_session() -> None:
    client = Client(FakeBrain(), limits=Limits(messages_per_s=10))
    for _ in range(20):
        client.send("response.cancel")
    with pytest.raises(SessionOver, match="10 messages a second"):
        client.send("response.cancel")


def test_too_much_sound_is_dropped() -> None:
    client = Client(FakeBrain(), limits=Limits(audio_burst_s=1.0))
    sound = base64.b64encode(bytes(48000 * 2)).decode()
    error = error_of(client.send("input_audio_buffer.append", audio=sound))
    assert (error["code"], error["type"]) == ("rate_limit_exceeded", "rate_limit_error")


def test_too_long_a_recording_is_not_kept() -> None:
    client = Client(FakeBrain(), limits=Limits(buffer_s=1.0))
    client.send("session.update", session={"audio": {"input": {"turn_detection": None}}})
    sound = base64.b64encode(bytes(48000 * 2)).decode()
    assert (
        error_of(client.send("input_audio_buffer.append", audio=sound))["code"] == "input_audio_buffer_full"
    )


@pytest.mark.parametrize(
    ("limits", "code"), [(Limits(session_s=5), "session_expired"), (Limits(idle_s=5), "idle_timeout")]
)
def test_a_session_does_not_last_for_ever(limits: Limits, code: str) -> None:
    client = Client(FakeBrain(), limits=limits)
    client.realtime.advance(4.9)
    with pytest.raises(SessionOver) as over:
        client.realtime.advance(5.1)
    assert over.value.code == code


def test_silence_for_ever_is_idle() -> None:
    client = Client(FakeBrain(), limits=Limits(idle_s=5))
    with pytest.raises(SessionOver) as over:
        client.say(silence(6))
    assert over.value.code == "idle_timeout"


def test_no_event_holds_what_is_no_json() -> None:
    client = asked()
    client.say(question())
    client.wait()
    for event in client.events:
        json.dumps(event, allow_nan=False)
