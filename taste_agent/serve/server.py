"""Loads the model, measures what this machine holds, and serves until it is stopped."""

import logging
import socket
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn

from taste_agent.config import AgentSettings
from taste_agent.dialog.worker import CostMeter
from taste_agent.errors import AgentError
from taste_agent.events import Event
from taste_agent.serve.access import Access
from taste_agent.serve.app import Reception, make_app
from taste_agent.serve.capacity import Capacity, measure_capacity
from taste_agent.serve.computing import Computing, Job, SharedRunner
from taste_agent.serve.limits import MOST_MESSAGE_BYTES, Limits, ServeOptions
from taste_agent.serve.metrics import Metrics
from taste_agent.serve.mind import Mind, MindWorker, ServedModel, Usage
from taste_agent.serve.realtime import Surroundings
from taste_agent.session.engine import Session

logger = logging.getLogger(__name__)

MOST_CONNECTIONS = 1000
"""Beyond this, a request is answered with 503 before anything else is looked at."""
CLOSE_S = 2.0
"""How long sessions may take to end."""


class SharedEngine:
    """A session on the computing thread."""

    def __init__(
        self,
        computing: Computing,
        model: ServedModel,
        settings: AgentSettings,
        emit: Callable[[Event], None],
        speaks: bool,
    ) -> None:
        def make() -> tuple[MindWorker, Mind]:
            mind = model.make_mind(settings)
            return MindWorker(mind, settings, CostMeter(), speaks), mind

        self._runner: SharedRunner = computing.join(make)
        self.session = Session(
            settings, self._runner, emit, source="network", model=model.facts.name, speaks=speaks
        )

    def do(self, job: Job) -> None:
        """Have a job done after what was asked for before."""
        self._runner.do(job)

    def usage(self, generation: int) -> Usage:
        """Tokens of a reply."""
        return self._runner.usage.pop(generation, Usage())


class Service:
    """The model, its computing thread and the reception: all that answers, whatever carries it."""

    def __init__(
        self, model: ServedModel, settings: AgentSettings, access: Access, limits: Limits, max_sessions: int
    ) -> None:
        self.computing = Computing()
        metrics = Metrics(max_sessions)

        def open_engine(own: AgentSettings, emit: Callable[[Event], None], speaks: bool) -> SharedEngine:
            return SharedEngine(self.computing, model, own, emit, speaks)

        around = Surroundings(settings, model.facts, open_engine, limits, metrics.observe)
        self.reception = Reception(around, access, max_sessions, metrics)
        self.app = make_app(self.reception)
        self.computing.start()


def measured(model: ServedModel, settings: AgentSettings) -> Capacity:
    """What this machine holds, measured with a conversation of its own."""
    return measure_capacity(model.make_mind(settings), settings)


def chosen_sessions(given: int | None, capacity: Callable[[], Capacity], tell: Callable[[str], None]) -> int:
    """How many sessions are taken: as many as were given, or as many as are held in real time."""
    if given is not None:
        tell(f"{given} at once, as --max-sessions says")
        return given
    found = capacity()
    figures = f"hearing {found.hearing_rtf:.2f}, speaking {found.speaking_rtf:.2f} of real time"
    if found.sessions == 0:
        tell(
            f"this machine is too slow for one conversation in real time ({figures}); one is taken, with gaps"
        )
    else:
        tell(f"{found.sessions} at once in real time ({figures})")
    return max(1, found.sessions)


class DrainingServer(uvicorn.Server):
    """Ends at the first signal when nobody is being answered any more, at the second one at once."""

    def __init__(self, config: uvicorn.Config, reception: Reception, drain_s: float) -> None:
        super().__init__(config)
        self._reception, self._drain_s = reception, drain_s
        self._drain_until_s: float | None = None
        self._close_until_s: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begins to drain."""
        if self._reception.draining:
            super().handle_exit(sig, frame)
            return
        self._captured_signals.append(sig)
        self._reception.draining = True
        self._drain_until_s = time.monotonic() + self._drain_s

    async def on_tick(self, counter: int) -> bool:
        """Looks whether all have ended; called ten times a second."""
        done = await super().on_tick(counter)
        now_s = time.monotonic()
        draining = self._drain_until_s is not None and self._close_until_s is None
        if draining and (now_s >= (self._drain_until_s or 0) or not self._reception.replying):
            self._reception.end_all()
            self._close_until_s = now_s + CLOSE_S
        if self._close_until_s is not None:
            return done or not self._reception.talks or now_s >= self._close_until_s
        return done


def uvicorn_config(app: Any, options: ServeOptions) -> uvicorn.Config:
    """How uvicorn serves the application."""
    return uvicorn.Config(
        app,
        host=options.access.host,
        port=options.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
        limit_concurrency=MOST_CONNECTIONS,
        ws_max_size=MOST_MESSAGE_BYTES,
        ws_per_message_deflate=False,
        ws_ping_interval=20,
        ws_ping_timeout=20,
        timeout_graceful_shutdown=round(CLOSE_S),
    )


def serve(
    load: Callable[[], ServedModel],
    settings: AgentSettings,
    options: ServeOptions,
    tell: Callable[[str], None] = lambda line: None,
) -> None:
    """Serve until a signal comes, which is raised again at the end.

    Args:
        load: makes the model, once it is sure that the port can be had.
        settings: of the sessions, where clients say nothing else.
        options: of the command line.
        tell: called with a line for the person who started it.

    Raises:
        AgentError: it would be open to the network without a token, or the port cannot be had.
        TasteError: the model cannot be loaded.
    """
    options.access.check()
    with listening_socket(options.access.host, options.port) as listener:
        tell(f"loading {settings.model.checkpoint}")
        model = load()
        sessions = chosen_sessions(options.max_sessions, lambda: measured(model, settings), tell)
        service = Service(model, settings, options.access, options.limits, sessions)
        server = DrainingServer(uvicorn_config(service.app, options), service.reception, options.drain_s)
        tell(f"listening on {options.access.host}, port {listener.getsockname()[1]}; Ctrl-C ends it")
        try:
            server.run([listener])
        finally:
            service.computing.stop()


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket to listen on; port 0 takes a free one.

    Raises:
        AgentError: the port is taken, or not allowed.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise AgentError(
            f"cannot listen on {host}, port {port}: {reason}; choose another with --port"
        ) from error
    return listener
