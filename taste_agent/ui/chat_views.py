"""The two views of a conversation: drawn on a terminal, or written line by line or as JSON events."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.live import Live

from taste_agent import events as ev
from taste_agent.chat_engine import ChatEngine
from taste_agent.clock import seconds_of_samples
from taste_agent.errors import AgentError
from taste_agent.events import TYPING
from taste_agent.session.recording import TalkFolder
from taste_agent.session.transcript import Transcript
from taste_agent.ui.live import render, scroll
from taste_agent.ui.state import Figures, KeyOutcome, ViewState, press, reduce
from taste_agent.ui.tables import waited_text
from taste_agent.ui.terminal import KeyReader, Line, keys_available, next_key

REDRAW_S = 0.1
IDLE_REDRAW_S = 0.25
TOGETHER_S = 0.3
"""Lines of a pipe that arrive within this time belong together and are answered one after the other."""
PASTES_MARKED, PASTES_UNMARKED = "\x1b[?2004h", "\x1b[?2004l"
SPEAK_ALREADY = "you can speak now; the answer comes when the model is loaded"
TYPE_ALREADY = "you can type now; the answer is spoken when the model is loaded"


@dataclass(frozen=True)
class ChatOptions:
    """Options of the command `chat` that are not settings."""

    text_only: bool = False
    push_to_talk: bool = False
    record: bool = False
    out: Path | None = None
    json_events: bool = False


def can_draw(stdin: TextIO | None, stdout: TextIO, terminal: str) -> bool:
    """Return whether keys can be read and a screen can be drawn; `terminal` is the value of TERM."""
    return keys_available(stdin) and stdout.isatty() and terminal not in ("", "dumb", "unknown")


class LiveChat:
    """Draws a conversation on the terminal and takes its keys. The text stays visible after the end."""

    def __init__(self, options: ChatOptions, folder: TalkFolder) -> None:
        """Draw nothing until the context is entered. Recordings and transcripts go to `folder`."""
        self._options, self._folder = options, folder
        self._stack = ExitStack()
        self._console = Console(highlight=False)
        self._state = ViewState(
            text_only=options.text_only,
            typing=Line() if options.text_only else None,
            talk_key=False if options.push_to_talk else None,
        )
        self._transcript = Transcript()
        self._began_s, self._drawn_s = time.monotonic(), 0.0
        self._error: BaseException | None = None
        self.quitting = False
        """Whether the quit key was pressed."""

    def __enter__(self) -> LiveChat:
        self._keys = self._stack.enter_context(KeyReader())
        self._live = Live(console=self._console, screen=True, auto_refresh=False, transient=True)
        self._stack.enter_context(self._live)
        self._stack.callback(self._write, PASTES_UNMARKED)
        self._write(PASTES_MARKED)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self._console.print(self._transcript.as_text().rstrip("\n"), markup=False, soft_wrap=True)
        if (line := written_line(self._folder)) is not None:
            self._console.print(line, markup=False, soft_wrap=True)

    def _write(self, codes: str) -> None:
        self._console.file.write(codes)
        self._console.file.flush()

    def loading(self, checkpoint: str) -> None:
        """Show that the model is being loaded."""
        self._state = replace(self._state, model=checkpoint)
        self._draw()

    def listening(self, engine: ChatEngine, by_ear: bool = True) -> None:
        """Show that the person can speak, or type, while the model is still loading."""
        if not self._options.text_only:
            engine.notice("info", SPEAK_ALREADY if by_ear else TYPE_ALREADY)

    @contextmanager
    def alive(self, engine: ChatEngine, figures: Callable[[], Figures]) -> Iterator[None]:
        """Draw and take keys in another thread while this one loads. The quit key interrupts the loading."""
        done = threading.Event()
        thread = threading.Thread(
            target=self._stay_alive, args=(engine, figures, done), name="screen", daemon=True
        )
        thread.start()
        try:
            yield
        except KeyboardInterrupt:
            if self._error is None:  # otherwise, the other thread raised it
                raise
        finally:
            done.set()
            thread.join()
        if self._error is not None:
            raise self._error

    def _stay_alive(self, engine: ChatEngine, figures: Callable[[], Figures], done: threading.Event) -> None:
        try:
            while not (done.is_set() or self.quitting):
                self._step(engine, figures)
        except BaseException as error:
            self._error = error
        if not done.is_set():
            # A real signal also interrupts a blocking call.
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def run(self, engine: ChatEngine, figures: Callable[[], Figures]) -> str:
        """Show the conversation until the quit key or the end of the engine, and return the reason."""
        notice = "" if self._state.notice in (SPEAK_ALREADY, TYPE_ALREADY) else self._state.notice
        self._state = replace(self._state, model_loaded=True, notice=notice)
        while engine.running and not self.quitting:
            self._step(engine, figures)
        return "quit" if self.quitting else "end_of_input"

    def _step(self, engine: ChatEngine, figures: Callable[[], Figures]) -> None:
        pressed = self._keys.read(REDRAW_S)
        changed = bool(pressed)
        while pressed and not self.quitting:
            key, pressed = next_key(pressed, self._state.typing is not None)
            outcome = press(self._state, key)
            self._state = outcome.state
            self._act(engine, outcome)
        changed = self.drain(engine) or changed
        now_s = time.monotonic()
        if changed or now_s - self._drawn_s >= IDLE_REDRAW_S:
            self._drawn_s = now_s
            recording = str(engine.recording.folder) if engine.recording else ""
            self._state = replace(
                self._state, figures=figures(), elapsed_s=now_s - self._began_s, recording=recording
            )
            self._draw()

    def drain(self, engine: ChatEngine) -> bool:
        """Show the pending events and return whether there were any."""
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
            case "quit":
                self.quitting = True
            case "scroll":
                size = self._console.size
                self._state = scroll(state, size.width, size.height, text)
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
            recording = self._folder.new_recording()
        except AgentError as error:
            engine.notice("error", str(error))
            return
        engine.record(recording)
        engine.notice("info", f"recording to {recording.folder}")

    def _save(self, engine: ChatEngine) -> None:
        if engine.recording is not None:
            engine.notice("info", f"the transcript is saved with the recording: {engine.recording.folder}")
            return
        try:
            engine.notice("info", f"saved {self._folder.save(self._transcript)}")
        except AgentError as error:
            engine.notice("error", str(error))


class PlainChat:
    """Writes a conversation to stdout as lines or JSON events, and takes lines on stdin as typed text.

    Lines that arrive together, as from a file, are answered one after the other. A single line interrupts the
    agent, as on the screen.
    """

    def __init__(self, options: ChatOptions, folder: TalkFolder) -> None:
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
        """Say on stderr that the person can speak, or type, while the model is still loading."""
        if not self._text_only:
            sys.stderr.write(f"{SPEAK_ALREADY if by_ear else TYPE_ALREADY}\n")

    @contextmanager
    def alive(self, engine: ChatEngine, figures: Callable[[], Any]) -> Iterator[None]:
        """Do nothing: the events are written once the model is loaded."""
        yield

    def run(self, engine: ChatEngine, figures: Callable[[], Any]) -> str:
        """Write the events until the input or the engine ends, and return the reason.

        If the input ends without a line (`< /dev/null`), a spoken conversation goes on.
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
        """Read the pending lines and return whether there is just one, which arrived alone."""
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


def plain_line(event: ev.Event) -> str | None:
    """Return a line for `event`, or None if nothing is shown for it."""
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


def written_line(folder: TalkFolder) -> str | None:
    """Return a line that lists the files of a conversation, or None if it wrote none."""
    if folder.path is None:
        return None
    names = sorted(path.name for path in folder.path.iterdir() if not path.name.startswith("."))
    return f"Written to {folder.path}: {', '.join(names)}"
