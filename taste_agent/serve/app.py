"""The ASGI application: page, protocol, health and metrics. uvicorn and Ray Serve run the same one."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from taste_agent.serve.access import PROTOCOL, Access, Refusal, refusal
from taste_agent.serve.errors import ProtocolError, SessionOver
from taste_agent.serve.limits import MAX_MESSAGE_BYTES
from taste_agent.serve.metrics import Metrics
from taste_agent.serve.realtime import Surroundings, error_fields
from taste_agent.serve.talk import Closing, Outgoing, Talk

logger = logging.getLogger(__name__)

PAGE = Path(__file__).parent / "page"
TRY_LATER = 1013
_HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
    "permissions-policy": "microphone=(self)",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}


class Reception:
    """Accepts up to `max_sessions` connections at a time and keeps track of them.

    Everything but the talks themselves runs in the event loop.
    """

    def __init__(self, around: Surroundings, access: Access, max_sessions: int, metrics: Metrics) -> None:
        self.around, self.access, self.max_sessions, self.metrics = around, access, max_sessions, metrics
        self.talks: set[Talk] = set()
        self.draining = False

    @property
    def full(self) -> bool:
        """Whether there is no room for another session."""
        return len(self.talks) >= self.max_sessions

    @property
    def replying(self) -> bool:
        """Whether somebody is being answered."""
        return any(talk.replying for talk in self.talks)

    def end_all(self) -> None:
        """End all sessions."""
        for talk in self.talks:
            talk.end(SessionOver("server_shutting_down", "the server is stopped", 1001, "server_error"))

    async def realtime(self, websocket: WebSocket) -> None:
        """Handle one connection of the protocol."""
        protocols = websocket.scope.get("subprotocols", [])
        refused = refusal(self.access, websocket.headers, protocols)
        if refused is not None:
            self.metrics.refused.labels(refused.code).inc()
            await websocket.send_denial_response(_denied(refused))
            return
        await websocket.accept(subprotocol=PROTOCOL if PROTOCOL in protocols else None)
        over = self._no_room()
        if over is not None:
            self.metrics.refused.labels(over.code).inc()
            await _say_and_close(websocket, over)
            return
        outbox: asyncio.Queue[Outgoing] = asyncio.Queue()
        talk = Talk(self.around, asyncio.get_running_loop(), outbox, lambda reason: self._left(talk, reason))
        self.talks.add(talk)
        self.metrics.sessions.set(len(self.talks))
        talk.start()
        await self._carry(websocket, talk, outbox)

    def _no_room(self) -> SessionOver | None:
        if self.draining:
            return SessionOver(
                "server_shutting_down", "the server is being stopped", TRY_LATER, "server_error"
            )
        if self.full:
            held = f"{self.max_sessions} conversation{'s' if self.max_sessions > 1 else ''}"
            return SessionOver(
                "session_limit_exceeded",
                f"this machine holds {held} in real time, and no more; try again later",
                TRY_LATER,
                "rate_limit_error",
            )
        return None

    def _left(self, talk: Talk, reason: str) -> None:
        self.talks.discard(talk)
        self.metrics.sessions.set(len(self.talks))
        self.metrics.ended.labels(reason).inc()

    async def _carry(self, websocket: WebSocket, talk: Talk, outbox: asyncio.Queue[Outgoing]) -> None:
        """Pass messages both ways until one side ends."""
        receiving = asyncio.create_task(_receive_all(websocket, talk))
        sending = asyncio.create_task(self._send_all(websocket, outbox))
        try:
            await asyncio.wait({receiving, sending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            talk.end(SessionOver("closed", "", 1000))
            for task in (receiving, sending):
                task.cancel()
                with suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError, OSError):
                    await task

    async def _send_all(self, websocket: WebSocket, outbox: asyncio.Queue[Outgoing]) -> None:
        while True:
            outgoing = await outbox.get()
            if isinstance(outgoing, Closing):
                await websocket.close(outgoing.code, outgoing.reason)
                return
            try:
                await asyncio.wait_for(websocket.send_text(outgoing), self.around.limits.send_s)
            except TimeoutError:
                self.metrics.refused.labels("slow_client").inc()
                return


async def _receive_all(websocket: WebSocket, talk: Talk) -> None:
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        text = message.get("text")
        if text is None:
            text = ProtocolError("invalid_event", "events are JSON text, not binary messages")
        elif len(text) > MAX_MESSAGE_BYTES:
            limit = f"a message may have at most {MAX_MESSAGE_BYTES} bytes; send sound in several messages"
            text = ProtocolError("message_too_large", limit)
        if not talk.put(text):
            talk.end(SessionOver("rate_limit_exceeded", "too many messages wait", 1008, "rate_limit_error"))


async def _say_and_close(websocket: WebSocket, over: SessionOver) -> None:
    with suppress(WebSocketDisconnect, RuntimeError):
        await websocket.send_json({"type": "error", "event_id": "event_end", "error": error_fields(over)})
        if websocket.application_state is WebSocketState.CONNECTED:
            await websocket.close(over.close_code, over.code)


def _denied(refused: Refusal) -> Response:
    error = {"type": "invalid_request_error", "code": refused.code, "message": refused.message}
    return JSONResponse({"error": error}, refused.status)


class _Guard:
    """Checks HTTP requests and adds the headers that isolate the page."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers: Mapping[str, str] = Request(scope).headers
        refused = refusal(self._access, headers, secret=scope["path"] == "/metrics")
        app = self._app if refused is None else _denied(refused)

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await app(scope, receive, send_safely)


def make_app(reception: Reception) -> ASGIApp:
    """Return the application for a reception."""

    async def page(request: Request) -> Response:
        return FileResponse(PAGE / "index.html")

    async def health(request: Request) -> Response:
        state: dict[str, Any] = {
            "status": "draining" if reception.draining else "ok",
            "sessions": len(reception.talks),
            "max_sessions": reception.max_sessions,
        }
        return JSONResponse(state, 503 if reception.draining else 200)

    async def metrics(request: Request) -> Response:
        return Response(reception.metrics.text(), media_type="text/plain; version=0.0.4")

    async def voices(request: Request) -> Response:
        return JSONResponse({"model": reception.around.facts.name, "voices": reception.around.facts.voices})

    app = Starlette(
        routes=[
            Route("/", page),
            Route("/healthz", health),
            Route("/metrics", metrics),
            Route("/voices", voices),
            WebSocketRoute("/v1/realtime", reception.realtime),
            Mount("/page", StaticFiles(directory=PAGE)),
        ]
    )
    return _Guard(app, reception.access)
