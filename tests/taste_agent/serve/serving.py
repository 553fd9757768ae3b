"""A server of its own for a test: uvicorn in a thread, on loopback, with scripted brains."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.sync.client import ClientConnection, connect

from taste_agent.serve.access import Access
from taste_agent.serve.app import Reception
from taste_agent.serve.limits import Limits, ServeOptions
from taste_agent.serve.mind import ServedModel
from taste_agent.serve.server import DrainingServer, Service, listening_socket, uvicorn_config
from tests.taste_agent.fakes import FakeBrain, settings
from tests.taste_agent.serve.talking import FACTS, mind_of

LOOPBACK = "127.0.0.1"


@dataclass
class Serving:
    """A server that runs; `brains` are those of its sessions, in order."""

    port: int
    reception: Reception
    server: DrainingServer
    brains: list[FakeBrain] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def connect(self, **options: Any) -> ClientConnection:
        """A connection of the protocol."""
        return connect(
            f"ws://{self.address}/v1/realtime?model=x", open_timeout=30, close_timeout=5, **options
        )

    def empties(self, within_s: float = 15.0) -> bool:
        """Whether every session ends."""
        end_s = time.monotonic() + within_s
        while self.reception.talks and time.monotonic() < end_s:
            time.sleep(0.02)
        return not self.reception.talks


@contextmanager
def serving(
    brain: Callable[[], FakeBrain] = lambda: FakeBrain(replies=["rome"]),
    max_sessions: int = 2,
    limits: Limits | None = None,
    token: str = "",
    drain_s: float = 5.0,
) -> Iterator[Serving]:
    """Runs a server until the end of the block."""
    brains: list[FakeBrain] = []

    def make_mind(own: Any) -> Any:
        brains.append(brain())
        return mind_of(brains[-1])

    own = settings("replay.compute_time=measured")
    model = ServedModel(FACTS, make_mind)
    service = Service(model, own, Access(LOOPBACK, token), limits or Limits(), max_sessions)
    with carried(service, drain_s) as server:
        server.brains = brains
        yield server


@contextmanager
def carried(service: Service, drain_s: float = 5.0) -> Iterator[Serving]:
    """Has uvicorn carry a service until the end of the block."""
    options = ServeOptions(service.reception.access, 0, drain_s=drain_s)
    config = uvicorn_config(service.app, options)
    server = DrainingServer(config, service.reception, drain_s)
    listener = listening_socket(LOOPBACK, 0)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield Serving(listener.getsockname()[1], service.reception, server)
    finally:
        server.should_exit = True
        thread.join(20)
        service.computing.stop()
        assert not thread.is_alive()


def until(connection: ClientConnection, kind: str, within_s: float = 30.0) -> list[dict[str, Any]]:
    """Everything that comes up to the first event of a kind."""
    events: list[dict[str, Any]] = []
    while not events or events[-1]["type"] != kind:
        events.append(json.loads(connection.recv(timeout=within_s)))
    return events


def send(connection: ClientConnection, kind: str, **fields: Any) -> None:
    connection.send(json.dumps({"type": kind, **fields}))


def type_text(connection: ClientConnection, text: str) -> None:
    """Types something and asks for an answer."""
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    send(connection, "conversation.item.create", item=item)
    send(connection, "response.create")
