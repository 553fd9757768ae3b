"""The error for clients of a Ray Serve replica that has died. Loaded by the proxy, so it must stay light."""

import json

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MIDDLEWARES = "taste_agent.serve.lost_replica:middlewares"
PROXY_VARIABLE = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
"""Environment variable that tells the proxies of a cluster where to find `middlewares`."""
LOST = {
    "type": "error",
    "event_id": "event_end",
    "error": {
        "type": "server_error",
        "code": "replica_lost",
        "message": "the machine that held this conversation is gone, and its memory with it; open a new one",
        "param": None,
        "event_id": None,
    },
}


class LostReplica:
    """Sends the error if a conversation ends without a message from its replica."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        accepted = ended = False

        async def watched_receive() -> Message:
            nonlocal ended
            message = await receive()
            ended |= message["type"] == "websocket.disconnect"
            return message

        async def watched_send(message: Message) -> None:
            nonlocal accepted, ended
            accepted |= message["type"] == "websocket.accept"
            ended |= message["type"] == "websocket.close"
            await send(message)

        try:
            await self._app(scope, watched_receive, watched_send)
        finally:
            if accepted and not ended:
                await send({"type": "websocket.send", "text": json.dumps(LOST)})
                await send({"type": "websocket.close", "code": 1011, "reason": "replica_lost"})


def middlewares() -> list[Middleware]:
    """Return the middlewares for Ray Serve's proxies."""
    return [Middleware(LostReplica)]
