"""The server as clients on the network meet it: who gets in, what is refused, how it ends."""

import json
import re
import signal
import time
import urllib.error
import urllib.request
from contextlib import suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from taste_agent.errors import AgentError
from taste_agent.serve.access import Access
from taste_agent.serve.capacity import Capacity
from taste_agent.serve.limits import MOST_MESSAGE_BYTES, Limits, ServeOptions
from taste_agent.serve.mind import ServedModel
from taste_agent.serve.server import chosen_sessions, serve
from tests.taste_agent.fakes import FakeBrain, settings
from tests.taste_agent.serve.serving import Serving, send, serving, type_text, until


def get(server: Serving, path: str, **headers: str) -> tuple[int, str, Any]:
    """Status, text and headers of a page."""
    request = urllib.request.Request(f"http://{server.address}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), error.headers


def rest_of(connection: Any) -> tuple[list[dict[str, Any]], int | None]:
    """Everything that comes before the server closes, and the code with which it does."""
    events: list[dict[str, Any]] = []
    with suppress(ConnectionClosed):  # is raised for all but an ordinary end
        for message in connection:
            events.append(json.loads(message))
    return events, connection.close_code


def test_two_talk_and_the_third_is_told_that_there_is_no_room() -> None:
    with serving(max_sessions=2) as server, server.connect() as first, server.connect() as second:
        for connection in (first, second):
            until(connection, "session.created")
        with server.connect() as third:
            error = json.loads(third.recv(timeout=30))["error"]
            assert error["code"] == "session_limit_exceeded"
            assert "2 conversations" in error["message"]
            assert rest_of(third) == ([], 1013)
        for connection in (first, second):
            type_text(connection, "hello")
        for connection in (first, second):
            assert until(connection, "response.done")[-1]["response"]["status"] == "completed"
        assert 'taste_refused_total{reason="session_limit_exceeded"} 1.0' in get(server, "/metrics")[1]


def test_room_that_becomes_free_is_given_again() -> None:
    with serving(max_sessions=1) as server:
        for _ in range(3):
            with server.connect() as connection:
                until(connection, "session.created")
            assert server.empties()


def test_health_figures_and_voices() -> None:
    with serving() as server, server.connect() as connection:
        type_text(connection, "hello")
        until(connection, "response.done")
        status, text, _ = get(server, "/healthz")
        assert (status, json.loads(text)) == (200, {"status": "ok", "sessions": 1, "max_sessions": 2})
        _, figures, _ = get(server, "/metrics")
        for name in (
            "taste_sessions 1.0",
            'taste_replies_total{status="finished"} 1.0',
            "taste_reply_rtf_count 1.0",
        ):
            assert name in figures
        assert re.search(r'taste_latency_seconds_count\{part="waited"\} 1\.0', figures)
        assert json.loads(get(server, "/voices")[1]) == {"model": "fake", "voices": ["anna", "bert"]}


def test_pages_are_kept_to_themselves() -> None:
    with serving() as server:
        _, _, headers = get(server, "/healthz")
        assert "default-src 'self'" in headers["content-security-policy"]
        assert get(server, "/page/../server.py")[0] == 404
        assert get(server, "/healthz", Host="elsewhere.example")[0] == 403
        assert get(server, "/healthz", Origin="http://elsewhere.example")[0] == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Basic secret"}, 401),
        ({"Authorization": "Bearer secret", "Origin": "http://elsewhere.example"}, 403),
    ],
)
def test_who_has_no_token_or_comes_from_elsewhere_stays_outside(headers: dict[str, str], status: int) -> None:
    with serving(token="secret") as server:
        with pytest.raises(InvalidStatus) as refused, server.connect(additional_headers=headers):
            pass
        assert refused.value.response.status_code == status
        assert "error" in json.loads(refused.value.response.body)
        assert get(server, "/metrics")[0] == 401
        assert get(server, "/healthz")[0] == 200


def test_a_token_is_taken_as_a_header_and_as_a_subprotocol() -> None:
    with serving(token="secret") as server:
        with server.connect(additional_headers={"Authorization": "Bearer secret"}) as connection:
            until(connection, "session.created")
        protocols = ["realtime", "openai-insecure-api-key.secret"]
        with server.connect(subprotocols=protocols) as connection:
            until(connection, "session.created")
            assert connection.subprotocol == "realtime"


def test_a_message_that_is_too_big_is_refused_and_the_session_goes_on() -> None:
    with serving() as server, server.connect() as connection:
        send(connection, "input_audio_buffer.append", audio="A" * 10_000_000)
        assert until(connection, "error")[-1]["error"]["code"] == "message_too_large"
        type_text(connection, "hello")
        until(connection, "response.done")


def test_a_message_without_end_closes_only_its_own_connection() -> None:
    with serving() as server, server.connect() as other:
        with server.connect() as connection:
            until(connection, "session.created")
            with suppress(ConnectionClosed):  # it may be closed while it still sends
                connection.send("x" * (MOST_MESSAGE_BYTES + 1))
            with pytest.raises(ConnectionClosed):
                connection.recv(timeout=30)
        type_text(other, "hello")
        until(other, "response.done")


def test_a_binary_message_is_refused_and_the_session_goes_on() -> None:
    with serving() as server, server.connect() as connection:
        connection.send(b"\0\1")
        assert until(connection, "error")[-1]["error"]["code"] == "invalid_event"
        type_text(connection, "hello")
        until(connection, "response.done")


def test_a_flood_of_messages_closes_its_connection() -> None:
    with serving(limits=Limits(messages_per_s=50)) as server, server.connect() as connection:
        for _ in range(200):
            send(connection, "response.cancel")
        events, code = rest_of(connection)
        assert (events[-1]["error"]["code"], code) == ("rate_limit_exceeded", 1008)
        assert server.empties()


def test_a_client_that_does_not_receive_is_dropped() -> None:
    with serving(limits=Limits(send_s=0.3)) as server, server.connect() as other:
        with server.connect(max_queue=1) as silent:
            item = {"type": "message", "role": "user", "id": "long"}
            item["content"] = [{"type": "input_text", "text": "字" * 8000}]  # type: ignore[assignment]
            send(silent, "conversation.item.create", item=item)
            for _ in range(900):  # 22 MB of answers, beyond what the kernel holds
                send(silent, "conversation.item.retrieve", item_id="long")
            end_s = time.monotonic() + 20
            while len(server.reception.talks) > 1 and time.monotonic() < end_s:
                time.sleep(0.05)
            assert 'taste_refused_total{reason="slow_client"} 1.0' in get(server, "/metrics")[1]
            silent.socket.close()
        type_text(other, "hello")
        until(other, "response.done")


@pytest.mark.parametrize("state", ["at once", "listening", "thinking", "speaking"])
def test_a_socket_that_is_gone_frees_its_room(state: str) -> None:
    with serving(lambda: FakeBrain(replies=["one two three four"])) as server, server.connect() as other:
        with server.connect() as connection:
            if state != "at once":
                until(connection, "session.created")
            if state in ("thinking", "speaking"):
                type_text(connection, "hello")
            if state == "speaking":
                until(connection, "response.output_audio.delta")
            connection.socket.close()
        end_s = time.monotonic() + 15
        while len(server.reception.talks) > 1 and time.monotonic() < end_s:
            time.sleep(0.02)
        assert len(server.reception.talks) == 1
        type_text(other, "hello")
        assert until(other, "response.done")[-1]["response"]["status"] == "completed"


def test_a_brain_that_breaks_ends_its_own_session_only() -> None:
    class Broken(FakeBrain):
        def prefill(self, segments: list[Any]) -> float | None:
            if segments == ["break"]:
                raise RuntimeError("secret words")
            return super().prefill(segments)

    with serving(lambda: Broken(replies=["rome"])) as server, server.connect() as other:
        with server.connect() as connection:
            type_text(connection, "break")
            events, code = rest_of(connection)
            assert (events[-1]["error"]["code"], code) == ("server_error", 1011)
            assert "secret" not in json.dumps(events)
        type_text(other, "hello")
        until(other, "response.done")


def test_what_the_model_cannot_do_ends_the_session_in_its_words() -> None:
    def brain() -> FakeBrain:
        raise AgentError("the checkpoint bears no such instructions")

    with serving(brain) as server, server.connect() as connection:
        type_text(connection, "hello")
        events, code = rest_of(connection)
        assert (events[-1]["error"]["message"], code) == ("the checkpoint bears no such instructions", 1008)


def test_a_signal_lets_the_reply_end_and_takes_nobody_in() -> None:
    with serving(lambda: FakeBrain(replies=["one two three"])) as server, server.connect() as connection:
        type_text(connection, "hello")
        until(connection, "response.output_audio.delta")
        server.server.handle_exit(signal.SIGTERM, None)
        server.server._captured_signals.clear()
        with server.connect() as late:
            assert json.loads(late.recv(timeout=30))["error"]["code"] == "server_shutting_down"
        assert get(server, "/healthz")[0] == 503
        events, _ = rest_of(connection)
        assert "completed" in [
            event["response"]["status"] for event in events if event["type"] == "response.done"
        ]
        assert events[-1]["error"]["code"] == "server_shutting_down"


def test_it_is_not_open_to_the_network_without_a_token() -> None:
    with pytest.raises(AgentError, match="--token"):
        serve(nothing_is_loaded, settings(), ServeOptions(Access("0.0.0.0"), 0))


def nothing_is_loaded() -> ServedModel:
    pytest.fail("the model was loaded")


def test_a_port_that_is_taken_is_told_before_the_model_is_loaded() -> None:
    with serving() as server, pytest.raises(AgentError, match=r"choose another with --port"):
        serve(nothing_is_loaded, settings(), ServeOptions(Access("127.0.0.1"), server.port))


@pytest.mark.parametrize(
    ("given", "capacity", "sessions", "line"),
    [
        (3, None, 3, "--max-sessions"),
        (None, Capacity(0.1, 0.3), 2, "2 conversations at once in real time"),
        (None, Capacity(0.5, 0.3), 1, "hearing 0.50"),
        (None, Capacity(0.5, 1.3), 1, "too slow"),
    ],
)
def test_as_many_are_taken_as_are_held(given: Any, capacity: Any, sessions: int, line: str) -> None:
    lines: list[str] = []
    assert chosen_sessions(given, lambda: capacity, lines.append) == sessions
    assert line in lines[0]
