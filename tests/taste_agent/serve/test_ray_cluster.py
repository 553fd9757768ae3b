"""Serving on a cluster: what is checked before, and what is told of a replica that is gone."""

import asyncio
import json
import os
import sys
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from taste_agent.errors import AgentError
from taste_agent.serve import ray_cluster
from taste_agent.serve.access import Access
from taste_agent.serve.limits import ServeOptions
from taste_agent.serve.lost_replica import MIDDLEWARES, PROXY_VARIABLE, LostReplica, middlewares
from taste_agent.serve.ray_cluster import Cluster, deploy, replicas
from tests.taste_agent.fakes import settings
from tests.taste_agent.serve.ray_model import load
from tests.taste_agent.serve.serving import type_text, until


@pytest.mark.parametrize(("text", "found"), [("1:4", (1, 4)), ("2", (2, 2)), ("3:3", (3, 3))])
def test_replicas_are_least_and_most(text: str, found: tuple[int, int]) -> None:
    assert replicas(text) == found


@pytest.mark.parametrize("text", ["", "0:1", "4:2", "a:b", "1:2:3", "-1"])
def test_other_replicas_are_refused(text: str) -> None:
    with pytest.raises(AgentError, match="MIN:MAX"):
        replicas(text)


def test_sessions_of_a_replica_must_be_given() -> None:
    with pytest.raises(AgentError, match="--max-sessions"):
        deploy(Cluster("local", 1, 2), settings(), ServeOptions(Access("127.0.0.1"), 0), load)


def test_ray_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(AgentError, match=r"taste-agent\[ray\]"):
        ray_cluster.connect("local")


def sent_after(*messages: dict[str, Any], disconnects: bool = False) -> list[dict[str, Any]]:
    """What a client gets where the application behind the proxy sends these messages and then is gone."""
    out: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)
        if disconnects:
            await receive()

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.disconnect", "code": 1000}

    async def send(message: dict[str, Any]) -> None:
        out.append(message)

    asyncio.run(LostReplica(app)({"type": "websocket"}, receive, send))
    return out[len(messages) :]


def test_a_replica_that_is_gone_is_told() -> None:
    said, closed = sent_after({"type": "websocket.accept"})
    assert json.loads(said["text"])["error"]["code"] == "replica_lost"
    assert (closed["type"], closed["code"]) == ("websocket.close", 1011)


def test_an_ordinary_end_is_not_told() -> None:
    accept = {"type": "websocket.accept"}
    assert sent_after(accept, {"type": "websocket.close", "code": 1000}) == []
    assert sent_after(accept, disconnects=True) == []
    assert sent_after({"type": "websocket.http.response.start", "status": 403}) == []
    assert [middleware.cls for middleware in middlewares()] == [LostReplica]


@pytest.mark.soak
def test_two_replicas_of_which_one_is_killed(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PROXY_VARIABLE, MIDDLEWARES)  # before Ray is imported
    ray = pytest.importorskip("ray", reason="Ray is missing; pip install 'taste-agent[ray]'")
    request.addfinalizer(ray.shutdown)
    port = 8902
    deploy(Cluster("local", 2, 2), settings(), ServeOptions(Access("127.0.0.1"), port, max_sessions=1), load)
    address = f"ws://127.0.0.1:{port}/v1/realtime"
    with connect(address, open_timeout=60) as first, connect(address, open_timeout=60) as second:
        answers = [[answer(one) for one in (first, second)] for _ in range(2)]
        assert answers[0] == answers[1]  # each stays where it is
        assert answers[0][0] != answers[0][1]
        with connect(address, open_timeout=60) as third:
            assert json.loads(third.recv(timeout=60))["error"]["code"] == "session_limit_exceeded"
        os.kill(int(answers[0][0]), 9)
        assert until(first, "error", 60)[-1]["error"]["code"] == "replica_lost"
        with pytest.raises(ConnectionClosed):
            first.recv(timeout=60)
        assert answer(second) == answers[0][1]


def answer(connection: Any) -> str:
    type_text(connection, "who are you")
    output = until(connection, "response.done", 60)[-1]["response"]["output"]
    return str(output[0]["content"][0]["transcript"])
