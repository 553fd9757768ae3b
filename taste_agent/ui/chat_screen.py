"""Shows a running chat and takes its keys: drawn on a terminal, or as lines where there is none."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from rich.console import Console
from rich.live import Live

from taste_agent.chat_engine import ChatEngine
from taste_agent.errors import AgentError
from taste_agent.session.recording import SessionRecording, recording_folder, write_private
from taste_agent.session.transcript import Transcript
from taste_agent.ui.keys import BACKSPACE, ENTER, ESCAPE, KeyReader
from taste_agent.ui.live import render
from taste_agent.ui.plain import plain_line
from taste_agent.ui.state import Figures, ViewState, reduce

REDRAW_S = 0.1
IDLE_REDRAW_S = 0.25
SPEAK_ALREADY = "you may speak already: the answer comes when the model is loaded"


class Options(Protocol):
    """What of the command's options concerns the screen."""

    @property
    def text_only(self) -> bool:
        """No sound card is used."""

    @property
    def push_to_talk(self) -> bool:
        """The person talks only while the talk key says so."""

    @property
    def out(self) -> Path | None:
        """Where recordings and transcripts go."""

    @property
    def json_events(self) -> bool:
        """Events as JSON lines on stdout."""


@dataclass(frozen=True)
class KeyOutcome:
    """What a key does: the new state, and a command's name for the engine."""

    state: ViewState
    action: str = ""
    text: str = ""


def press(state: ViewState, key: str) -> KeyOutcome:
    """What `key` means in `state`. Pure."""
    if state.typing is not None:
        return _press_while_typing(state, state.typing, key)
    match key:
        case "q":
            return KeyOutcome(state, "quit")
        case "t" | "\r":
            return KeyOutcome(replace(state, typing=""))
        case "i" | "\x1b":
            return KeyOutcome(state, "interrupt")
        case "s":
            return KeyOutcome(state, "save")
    if not state.text_only:
        match key:
            case "m":
                return KeyOutcome(replace(state, muted=not state.muted), "mute")
            case "r":
                return KeyOutcome(state, "record")
            case "p":
                talk_key = False if state.talk_key is None else None
                return KeyOutcome(replace(state, talk_key=talk_key), "talk")
            case " " if state.talk_key is not None:
                return KeyOutcome(replace(state, talk_key=not state.talk_key), "talk")
    return KeyOutcome(state)


def _press_while_typing(state: ViewState, typed: str, key: str) -> KeyOutcome:
    if key == ENTER:
        rest = "" if state.text_only else None
        text = typed.strip()
        return KeyOutcome(replace(state, typing=rest), "type" if text else "", text)
    if key == ESCAPE:
        return KeyOutcome(replace(state, typing=None))
    if key == BACKSPACE:
        return KeyOutcome(replace(state, typing=typed[:-1]))
    return KeyOutcome(replace(state, typing=typed + key) if key.isprintable() else state)


class LiveChat:
    """The drawn view on the terminal's alternate screen; the conversation stays visible after the end."""

    def __init__(self, options: Options) -> None:
        """Nothing is drawn until the context is entered."""
        self._options = options
        self._stack = ExitStack()
        self._console = Console(highlight=False)
        self._state = ViewState(
            text_only=options.text_only,
            typing="" if options.text_only else None,
            talk_key=False if options.push_to_talk else None,
        )
        self._transcript = Transcript()

    def __enter__(self) -> LiveChat:
        self._keys = self._stack.enter_context(KeyReader())
        self._live = Live(console=self._console, screen=True, auto_refresh=False, transient=True)
        self._stack.enter_context(self._live)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        self._console.print(self._transcript.as_text().rstrip("\n"), markup=False, soft_wrap=True)

    def loading(self, checkpoint: str) -> None:
        """Say that the model is being loaded."""
        self._state = replace(self._state, model=checkpoint)
        self._draw()

    def listening(self) -> None:
        """Say that the person may speak while the model is still being loaded."""
        if not self._state.text_only:
            self._state = replace(self._state, notice=SPEAK_ALREADY, notice_level="info")
            self._draw()

    def run(self, engine: ChatEngine, figures: Callable[[], Figures]) -> str:
        """Show and steer until the quit key (`quit`) or the engine's own end; returns the reason."""
        if self._options.push_to_talk:
            engine.do(lambda session: session.set_push_to_talk(False))
        self._state = replace(self._state, notice="")  # the model is loaded
        drawn_s = 0.0
        while engine.running:
            for key in self._keys.read(REDRAW_S):
                outcome = press(self._state, key)
                self._state = outcome.state
                if outcome.action == "quit":
                    return "quit"
                self._act(engine, outcome)
            changed = self.drain(engine)
            now_s = time.monotonic()
            if changed or now_s - drawn_s >= IDLE_REDRAW_S:
                drawn_s = now_s
                self._state = replace(
                    self._state, figures=figures(), elapsed_s=engine.now / 16000, recording=_folder(engine)
                )
                self._draw()
        return "end_of_input"

    def drain(self, engine: ChatEngine) -> bool:
        """Take the events that are there; returns whether there were any."""
        before = len(engine.events)
        while engine.events:
            event = engine.events.popleft()
            self._state = reduce(self._state, event)
            self._transcript.take(event)
        return before > 0

    def _draw(self) -> None:
        size = self._console.size
        self._live.update(render(self._state, size.width, size.height), refresh=True)

    def _act(self, engine: ChatEngine, outcome: KeyOutcome) -> None:
        state, text = outcome.state, outcome.text
        match outcome.action:
            case "interrupt":
                engine.do(lambda session: session.interrupt())
            case "mute":
                engine.do(lambda session: session.set_muted(state.muted))
            case "talk":
                engine.do(lambda session: session.set_push_to_talk(state.talk_key))
            case "type":
                engine.do(lambda session: session.type_text(text))
            case "record":
                self._toggle_recording(engine)
            case "save":
                self._save(engine)

    def _toggle_recording(self, engine: ChatEngine) -> None:
        if engine.recording is not None:
            engine.notice("info", f"recording stopped: {engine.recording.folder}")
            engine.record(None)
            return
        try:
            recording = SessionRecording(recording_folder(self._options.out))
        except AgentError as error:
            engine.notice("error", str(error))
            return
        engine.record(recording)
        engine.notice("info", f"recording to {recording.folder}")

    def _save(self, engine: ChatEngine) -> None:
        folder = recording_folder(self._options.out)
        try:
            folder.mkdir(mode=0o700, parents=True)
            write_private(folder / "transcript.txt", self._transcript.as_text())
            write_private(folder / "transcript.json", self._transcript.as_json())
        except OSError as error:
            engine.notice("error", f"cannot save to {folder}: {error.strerror}")
            return
        engine.notice("info", f"saved {folder / 'transcript.txt'}")


def _folder(engine: ChatEngine) -> str:
    return str(engine.recording.folder) if engine.recording else ""


class PlainChat:
    """Lines on stdout, or events as JSON. Lines that come on stdin are typed text, one after the other."""

    def __init__(self, options: Options) -> None:
        """Nothing is written yet."""
        self._json = options.json_events
        self._text_only = options.text_only
        self._push_to_talk = options.push_to_talk
        self._stdin: int | None = sys.stdin.fileno() if sys.stdin and not sys.stdin.closed else None
        self._pending = b""
        self._lines: list[str] = []

    def __enter__(self) -> PlainChat:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.stdout.flush()

    def loading(self, checkpoint: str) -> None:
        """Say that the model is being loaded, on stderr."""
        sys.stderr.write(f"loading {checkpoint}\n")

    def listening(self) -> None:
        """Say that the person may speak while the model is still being loaded, on stderr."""
        if not self._text_only:
            sys.stderr.write(f"{SPEAK_ALREADY}\n")

    def run(self, engine: ChatEngine, figures: Callable[[], Any]) -> str:
        """Write what happens until the input or the engine ends; returns the reason."""
        if self._push_to_talk:
            engine.do(lambda session: session.set_push_to_talk(False))
        while engine.running:
            self._read_lines(REDRAW_S)
            self.drain(engine)
            if self._lines and engine.idle:
                text = self._lines.pop(0)
                self._type(engine, text)
            elif not self._lines and self._stdin is None and self._text_only and engine.idle:
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

    def _read_lines(self, timeout_s: float) -> None:
        if self._stdin is None:
            time.sleep(timeout_s)
            return
        ready, _, _ = select.select([self._stdin], [], [], timeout_s)
        if not ready:
            return
        got = os.read(self._stdin, 4096)
        *lines, self._pending = (self._pending + got).split(b"\n")
        if not got:
            self._stdin = None
            lines, self._pending = [self._pending], b""
        self._lines += [text for line in lines if (text := line.decode("utf-8", "replace").strip())]
