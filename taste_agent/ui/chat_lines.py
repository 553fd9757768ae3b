"""Shows a running chat as lines, or as events in JSON, where a screen cannot be drawn."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from taste_agent.chat_engine import ChatEngine
from taste_agent.session.recording import TalkFolder
from taste_agent.ui.chat_screen import REDRAW_S, SPEAK_ALREADY, TYPE_ALREADY, Options, written_line
from taste_agent.ui.plain import plain_line

TOGETHER_S = 0.3
"""Lines of a pipe that come within this belong together and are answered one after the other."""


class PlainChat:
    """Lines on stdout, or events as JSON. Lines that come on stdin are typed text.

    Lines that come together, as from a file, are answered one after the other. One that comes alone takes the
    floor, as on the screen.
    """

    def __init__(self, options: Options, folder: TalkFolder) -> None:
        """Write nothing yet; `folder` takes recordings."""
        self._json = options.json_events
        self._text_only = options.text_only
        self._push_to_talk = options.push_to_talk
        self._folder = folder
        self._stdin: int | None = sys.stdin.fileno() if sys.stdin and not sys.stdin.closed else None
        self._pending = b""
        self._lines: list[str] = []
        self._typed = False
        self._came_s = 0.0
        self.quitting = False

    def __enter__(self) -> PlainChat:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.stdout.flush()
        if (line := written_line(self._folder)) is not None:
            sys.stderr.write(f"{line}\n")

    def loading(self, checkpoint: str) -> None:
        """Say that the model is being loaded, on stderr."""
        sys.stderr.write(f"loading {checkpoint}\n")

    def listening(self, engine: ChatEngine, by_ear: bool = True) -> None:
        """Say that the person may speak, or type, while the model is still being loaded, on stderr."""
        if not self._text_only:
            sys.stderr.write(f"{SPEAK_ALREADY if by_ear else TYPE_ALREADY}\n")

    @contextmanager
    def alive(self, engine: ChatEngine, figures: Callable[[], Any]) -> Iterator[None]:
        """Do nothing meanwhile: what happens is written once the model is loaded."""
        yield

    def run(self, engine: ChatEngine, figures: Callable[[], Any]) -> str:
        """Write what happens until the input or the engine ends; returns the reason.

        An input that ends without a line (`< /dev/null`) leaves a spoken talk alone.
        """
        while engine.running:
            alone = self._read_lines(REDRAW_S)
            self.drain(engine)
            if self._lines and (alone or engine.idle):
                self._typed = True
                self._type(engine, self._lines.pop(0))
            elif not self._lines and self._stdin is None and engine.idle and (self._text_only or self._typed):
                return "end_of_input"
        return "end_of_input"

    def _type(self, engine: ChatEngine, text: str) -> None:
        engine.do(lambda session: session.type_text(text))

    def drain(self, engine: ChatEngine) -> bool:
        """Write the events that are there; returns whether there were any."""
        before = len(engine.events)
        while engine.events:
            event = engine.events.popleft()
            line = event.to_json() if self._json else plain_line(event)
            if line is not None:
                sys.stdout.write(line + "\n")
        sys.stdout.flush()
        return before > 0

    def _read_lines(self, timeout_s: float) -> bool:
        """Take the lines that are there; returns whether it is one that came alone."""
        if self._stdin is None:
            time.sleep(timeout_s)
            return False
        ready, _, _ = select.select([self._stdin], [], [], timeout_s)
        if not ready:
            return False
        got = os.read(self._stdin, 4096)
        *lines, self._pending = (self._pending + got).split(b"\n")
        if not got:
            self._stdin = None
            lines, self._pending = [self._pending], b""
        new = [text for line in lines if (text := line.decode("utf-8", "replace").strip())]
        now_s = time.monotonic()
        alone = len(new) == 1 and not self._lines and now_s - self._came_s > TOGETHER_S
        self._came_s = now_s if new else self._came_s
        self._lines += new
        return alone
