"""Shows a conversation line by line, or as JSON events, where a screen cannot be drawn."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from taste_agent import events as ev
from taste_agent.chat_engine import ChatEngine
from taste_agent.clock import seconds_of_samples
from taste_agent.events import TYPING
from taste_agent.session.recording import TalkFolder
from taste_agent.ui.chat_screen import REDRAW_S, SPEAK_ALREADY, TYPE_ALREADY, Options, written_line
from taste_agent.ui.tables import waited_text


def plain_line(event: ev.Event) -> str | None:
    """Return the line for `event`; None if it is not worth one."""
    text = _text(event)
    return None if text is None else f"[{seconds_of_samples(event.at):8.2f}] {text}"


def _text(event: ev.Event) -> str | None:
    match event:
        case ev.SessionStarted():
            return f"{'ready' if event.source == TYPING else 'listening'} ({event.model})"
        case ev.UserTurn():
            return f"You: {event.text}"
        case ev.SpeechDropped(reason="nothing_recognized"):
            return "did not catch that"
        case ev.SpeechDropped(reason="echo"):
            return "heard only my own echo"
        case ev.SpeechDropped(reason="unanswered") if event.text:
            return f"not answered: {event.text}"
        case ev.NoSpeech():
            return "nothing to say to that"
        case ev.ReplyTakenUp():
            return "the reply goes on"
        case ev.FirstAudio():
            return waited_text(event.latency_ms)
        case ev.ReplyFinished():
            return f"Agent: {event.text}"
        case ev.ReplyCancelled():
            cut = f"[not heard: {event.cut_text}]" if event.cut_text else ""
            return " ".join(part for part in ("Agent:", event.heard_text, cut) if part)
        case ev.Underrun():
            return f"playback ran dry for {seconds_of_samples(event.gap_samples) * 1000:.0f} ms"
        case ev.Notice():
            return f"{event.level}: {event.text}"
        case ev.SessionEnded():
            return f"ended ({event.reason})"
    return None


TOGETHER_S = 0.3
"""Lines of a pipe that come within this time belong together and are answered one after the other."""


class PlainChat:
    """Writes lines or JSON events to stdout, and takes lines on stdin as typed text.

    Lines that come together, as from a file, are answered one after the other. A line that comes alone takes
    the floor, as on the screen.
    """

    def __init__(self, options: Options, folder: TalkFolder) -> None:
        """Write nothing yet; `folder` is for recordings."""
        self._json, self._text_only, self._folder = options.json_events, options.text_only, folder
        self._stdin: int | None = sys.stdin.fileno() if sys.stdin and not sys.stdin.closed else None
        self._pending, self._came_s = b"", 0.0
        self._lines: list[str] = []
        self._typed = self.quitting = False

    def __enter__(self) -> PlainChat:
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()
        if (line := written_line(self._folder)) is not None:
            sys.stderr.write(f"{line}\n")

    def loading(self, checkpoint: str) -> None:
        """Say on stderr that the model is being loaded."""
        sys.stderr.write(f"loading {checkpoint}\n")

    def listening(self, engine: ChatEngine, by_ear: bool = True) -> None:
        """Say on stderr that the person may speak, or type, while the model is still being loaded."""
        if not self._text_only:
            sys.stderr.write(f"{SPEAK_ALREADY if by_ear else TYPE_ALREADY}\n")

    @contextmanager
    def alive(self, engine: ChatEngine, figures: Callable[[], Any]) -> Iterator[None]:
        """Do nothing: events are written once the model is loaded."""
        yield

    def run(self, engine: ChatEngine, figures: Callable[[], Any]) -> str:
        """Write what happens until the input or the engine ends, and return the reason.

        An input that ends without a line (`< /dev/null`) does not end a spoken conversation.
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
        """Write the pending events and return whether there were any."""
        before = len(engine.events)
        while engine.events:
            event = engine.events.popleft()
            line = event.to_json() if self._json else plain_line(event)
            if line is not None:
                sys.stdout.write(line + "\n")
        sys.stdout.flush()
        return before > 0

    def _read_lines(self, timeout_s: float) -> bool:
        """Take the pending lines and return whether it is one that came alone."""
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
