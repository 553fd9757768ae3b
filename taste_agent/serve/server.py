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
"""With more connections than this, every request is answered with 503."""
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
        """Run a job after everything that was queued before it."""
        self._runner.do(job)

    def usage(self, generation: int) -> Usage:
        """Return the tokens of a reply."""
        return self._runner.usage.pop(generation, Usage())


class Service:
    """The model, its computing thread, the reception and the application."""

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
    """Measure with one conversation how many this machine can hold."""
    return measure_capacity(model.make_mind(settings), settings)


def chosen_sessions(given: int | None, capacity: Callable[[], Capacity], tell: Callable[[str], None]) -> int:
    """Return the number of sessions to accept: the given one, or what this machine can hold in real time."""
    if given is not None:
        tell(f"{given} conversations at once (--max-sessions)")
        return given
    found = capacity()
    figures = f"hearing {found.hearing_rtf:.2f}, speaking {found.speaking_rtf:.2f} of real time"
    if found.sessions == 0:
        tell(f"this machine is too slow for one conversation in real time ({figures}); expect gaps")
    else:
        tell(f"{found.sessions} conversations at once in real time ({figures})")
    return max(1, found.sessions)


class DrainingServer(uvicorn.Server):
    """Ends after the first signal as soon as no reply is in progress, and at once after the second one."""

    def __init__(self, config: uvicorn.Config, reception: Reception, drain_s: float) -> None:
        super().__init__(config)
        self._reception, self._drain_s = reception, drain_s
        self._drain_until_s: float | None = None
        self._close_until_s: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Start draining, or end at the second signal."""
        if self._reception.draining:
            super().handle_exit(sig, frame)
            return
        self._captured_signals.append(sig)
        self._reception.draining = True
        self._drain_until_s = time.monotonic() + self._drain_s

    async def on_tick(self, counter: int) -> bool:
        """Return whether the server should end. Called ten times a second."""
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
    """Return uvicorn's configuration for the application."""
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
    """Serve until a signal arrives, which is raised again at the end.

    Args:
        load: loads the model; called once the port is open.
        settings: settings of the sessions, unless clients change them.
        options: options of the server.
        tell: called with lines for the person who started the server.

    Raises:
        AgentError: the server would be open to the network without a token, or the port is not available.
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
    """Return a listening socket; port 0 picks a free port.

    Raises:
        AgentError: the port is taken or not allowed.
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
