"""Shows a conversation on a terminal and takes its keys."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Protocol, TextIO

from rich.console import Console
from rich.live import Live

from taste_agent.chat_engine import ChatEngine
from taste_agent.errors import AgentError
from taste_agent.session.recording import TalkFolder
from taste_agent.session.transcript import Transcript
from taste_agent.ui import terminal as keys
from taste_agent.ui.live import render, scroll
from taste_agent.ui.state import Figures, ViewState, reduce
from taste_agent.ui.terminal import Key, KeyReader, Line, Paste, edit, keys_available, next_key

REDRAW_S = 0.1
IDLE_REDRAW_S = 0.25
PASTES_MARKED, PASTES_UNMARKED = "\x1b[?2004h", "\x1b[?2004l"
SPEAK_ALREADY = "you may speak already: the answer comes when the model is loaded"
TYPE_ALREADY = "you may type already: the answer is spoken when the model is loaded"


def can_draw(stdin: TextIO | None, stdout: TextIO, terminal: str) -> bool:
    """Return whether a screen can be drawn and keys be read; `terminal` is what TERM says."""
    return keys_available(stdin) and stdout.isatty() and terminal not in ("", "dumb", "unknown")


class Options(Protocol):
    """The command's options that concern the screen."""

    @property
    def text_only(self) -> bool:
        """Whether no sound card is used."""

    @property
    def push_to_talk(self) -> bool:
        """Whether the microphone is open only between two presses of the talk key."""

    @property
    def json_events(self) -> bool:
        """Whether events are written to stdout as JSON lines."""


@dataclass(frozen=True)
class KeyOutcome:
    """What a key does: the new state, and the name of a command for the engine or the screen."""

    state: ViewState
    action: str = ""
    text: str = ""


SCROLL_KEYS = {
    keys.UP: "line up",
    keys.DOWN: "line down",
    keys.PAGE_UP: "page up",
    keys.PAGE_DOWN: "page down",
    keys.HOME: "top",
    keys.END: "end",
}


def press(state: ViewState, key: Key) -> KeyOutcome:
    """Return what `key` means in `state`. Pure."""
    if state.help and not isinstance(key, Paste):
        return KeyOutcome(replace(state, help=False))
    if key in (keys.PAGE_UP, keys.PAGE_DOWN) or (state.typing is None and key in SCROLL_KEYS):
        return KeyOutcome(state, "scroll", SCROLL_KEYS[str(key)])
    if state.typing is not None:
        return _press_while_typing(state, state.typing, key)
    match key:
        case Paste():
            return KeyOutcome(replace(state, typing=edit(Line(), key), help=False))
        case "q":
            return KeyOutcome(state, "quit")
        case "t" | keys.ENTER:
            return KeyOutcome(replace(state, typing=Line()))
        case "i" | keys.ESCAPE:
            return KeyOutcome(state, "interrupt")
        case "s":
            return KeyOutcome(state, "save")
        case "?":
            return KeyOutcome(replace(state, help=True))
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


def _press_while_typing(state: ViewState, line: Line, key: Key) -> KeyOutcome:
    if key not in (keys.ENTER, keys.ESCAPE):
        return KeyOutcome(replace(state, typing=edit(line, key, state.history)))
    text = line.text.strip()
    # Text that is not sent can be recalled.
    history = (*state.history, text) if text and state.history[-1:] != (text,) else state.history
    state = replace(state, typing=None, history=history)
    if key == keys.ESCAPE:
        return KeyOutcome(state)
    if state.text_only:
        state = replace(state, typing=Line())
    return KeyOutcome(replace(state, top=None), "type" if text else "", text)


class LiveChat:
    """The drawn view on the terminal's alternate screen; the conversation stays visible after the end."""

    def __init__(self, options: Options, folder: TalkFolder) -> None:
        """Draw nothing until the context is entered; `folder` is for recordings and transcripts."""
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
        """Say that the model is being loaded."""
        self._state = replace(self._state, model=checkpoint)
        self._draw()

    def listening(self, engine: ChatEngine, by_ear: bool = True) -> None:
        """Say that the person may speak, or type, while the model is still being loaded."""
        if not self._options.text_only:
            engine.notice("info", SPEAK_ALREADY if by_ear else TYPE_ALREADY)

    @contextmanager
    def alive(self, engine: ChatEngine, figures: Callable[[], Figures]) -> Iterator[None]:
        """Draw and take keys in another thread while this one loads; the quit key interrupts the loading."""
        done = threading.Event()
        thread = threading.Thread(
            target=self._stay_alive, args=(engine, figures, done), name="screen", daemon=True
        )
        thread.start()
        try:
            yield
        except KeyboardInterrupt:
            if self._error is None:  # otherwise it came from there
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
            # A real signal also ends a call that blocks.
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def run(self, engine: ChatEngine, figures: Callable[[], Figures]) -> str:
        """Show the conversation until the quit key (`quit`) or the engine's end, and return the reason."""
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
        """Take the pending events and return whether there were any."""
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
        """Save the transcript; a recording keeps its own up to date, in its own times."""
        if engine.recording is not None:
            engine.notice("info", f"the transcript is kept with the recording: {engine.recording.folder}")
            return
        try:
            engine.notice("info", f"saved {self._folder.save(self._transcript)}")
        except AgentError as error:
            engine.notice("error", str(error))


def written_line(folder: TalkFolder) -> str | None:
    """Return the line that says which files a conversation wrote, and where; None if it wrote none."""
    if folder.path is None:
        return None
    names = sorted(path.name for path in folder.path.iterdir() if not path.name.startswith("."))
    return f"Written to {folder.path}: {', '.join(names)}"
