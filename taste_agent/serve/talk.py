"""The thread of one connection, which runs its conversation between a queue and the event loop."""

import asyncio
import json
import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from taste_agent.errors import AgentError
from taste_agent.serve.errors import ProtocolError, SessionOver
from taste_agent.serve.realtime import Realtime, Surroundings, error_fields
from taste_speech.errors import TasteError

logger = logging.getLogger(__name__)

TICK_S, REST_S = 0.02, 0.5
"""How often the clock is checked while an answer is pending, and otherwise."""
_INBOX_MESSAGES = 4000


@dataclass(frozen=True)
class Closing:
    """The last message for a client: the connection is closed with this code."""

    code: int
    reason: str


Outgoing = str | Closing


class Talk:
    """Runs one conversation.

    Args:
        around: what all conversations share.
        loop: the event loop of the connection.
        outbox: takes the messages to the client, of which `Closing` is the last.
        on_end: called in the loop with the reason when the thread has ended.
    """

    def __init__(
        self,
        around: Surroundings,
        loop: asyncio.AbstractEventLoop,
        outbox: asyncio.Queue[Outgoing],
        on_end: Callable[[str], None],
    ) -> None:
        self._around, self._loop, self._outbox, self._on_end = around, loop, outbox, on_end
        self._inbox: queue.Queue[str | ProtocolError | SessionOver] = queue.Queue(_INBOX_MESSAGES)
        self._ends: SessionOver | None = None
        self._thread = threading.Thread(target=self._run, name="talk", daemon=True)
        self.replying = False
        """Whether a response is in progress. May be read from any thread."""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, message: str | ProtocolError | SessionOver) -> bool:
        """Queue a client's message, or the error in it, and return False if too many are waiting."""
        try:
            self._inbox.put_nowait(message)
        except queue.Full:
            return False
        return True

    def end(self, reason: SessionOver) -> None:
        """End the session, even if messages are waiting."""
        self._ends = reason
        self.put(reason)  # wakes the thread

    def _run(self) -> None:
        realtime: Realtime | None = None
        end = SessionOver("closed", "", 1000)
        try:
            realtime = Realtime(self._around, self._send, time.monotonic())
            while self._ends is None:
                self._turn(realtime)
            end = self._ends
        except SessionOver as over:
            end = over
        except (AgentError, TasteError) as error:  # the client's settings cannot be applied
            end = SessionOver("session_failed", str(error), 1008)
        except Exception as error:
            logger.error("a session failed: %s", type(error).__name__, exc_info=_debugged(error))
            end = SessionOver("server_error", "the session failed; open a new one", 1011, "server_error")
        self._close(realtime, end)

    def _turn(self, realtime: Realtime) -> None:
        try:
            message = self._inbox.get(timeout=TICK_S if realtime.busy or realtime.replying else REST_S)
        except queue.Empty:
            message = None
        if isinstance(message, str):
            realtime.receive(message, time.monotonic())
        elif isinstance(message, ProtocolError):
            realtime.refuse(message)
        realtime.advance(time.monotonic())
        self.replying = realtime.replying

    def _close(self, realtime: Realtime | None, end: SessionOver) -> None:
        self.replying = False
        if realtime is not None:
            try:
                realtime.close("quit" if end.close_code == 1000 else "failed")
            except Exception as error:  # it has already failed
                logger.debug("a session could not be closed", exc_info=error)
        if str(end):
            self._send({"type": "error", "event_id": "event_end", "error": error_fields(end)})
        self._call(self._outbox.put_nowait, Closing(end.close_code, end.code))
        self._call(self._on_end, end.code)

    def _send(self, event: dict[str, Any]) -> None:
        self._call(self._outbox.put_nowait, json.dumps(event, ensure_ascii=False))

    def _call(self, function: Callable[[Any], None], argument: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, argument)
        except RuntimeError:  # the loop is closed: nobody is listening any more
            logger.debug("the event loop is closed")


def _debugged(error: Exception) -> Exception | None:
    """Return the error for its traceback only when debugging, because its text may contain what was said."""
    return error if logger.isEnabledFor(logging.DEBUG) else None
