"""The terminal: its keys, the line being typed, and protection from messages of native libraries."""

from __future__ import annotations

import codecs
import os
import re
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TextIO

try:
    import termios
except ImportError:  # not a POSIX terminal
    termios = None  # type: ignore[assignment]

ESCAPE, ENTER, BACKSPACE = "\x1b", "\r", "\x7f"
# Arrows and similar keys become the control characters with the same meaning in a line editor.
HOME, LEFT, DELETE, END, RIGHT = "\x01", "\x02", "\x04", "\x05", "\x06"
KILL_TO_END, DOWN, UP, KILL_TO_START, KILL_WORD, YANK = "\x0b", "\x0e", "\x10", "\x15", "\x17", "\x19"
WORD_LEFT, WORD_RIGHT, PAGE_UP, PAGE_DOWN = "word left", "word right", "page up", "page down"
_SEQUENCES = {
    **dict.fromkeys(("[A", "OA"), UP),
    **dict.fromkeys(("[B", "OB"), DOWN),
    **dict.fromkeys(("[C", "OC"), RIGHT),
    **dict.fromkeys(("[D", "OD"), LEFT),
    **dict.fromkeys(("[H", "OH", "[1~", "[7~"), HOME),
    **dict.fromkeys(("[F", "OF", "[4~", "[8~"), END),
    **dict.fromkeys(("[1;3C", "[1;5C", "f"), WORD_RIGHT),
    **dict.fromkeys(("[1;3D", "[1;5D", "b"), WORD_LEFT),
    **dict.fromkeys(("\x7f", "\b"), KILL_WORD),
    "[3~": DELETE,
    "[5~": PAGE_UP,
    "[6~": PAGE_DOWN,
}
_PASTE_BEGINS, _PASTE_ENDS = "\x1b[200~", "\x1b[201~"
_SEQUENCE = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|O[@-~]|[bf\x7f\b])")
_UNFINISHED = re.compile(r"\x1b(\[[0-?]*[ -/]*|O)?$")
# The bytes of one key may arrive in two reads. Nobody presses Escape and another key this quickly.
_SEQUENCE_LIMIT_S = 0.03
_UNMARKED_PASTE = 3


@dataclass(frozen=True)
class Paste:
    """Pasted text, whose characters are not keys."""

    text: str


Key = str | Paste
"""A printable character, a control character, one of the names above, or a paste."""


def keys_available(stream: TextIO | None = sys.stdin) -> bool:
    """Return whether single keys can be read from `stream`."""
    try:
        return termios is not None and stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


class KeyReader:
    """Context in which keys can be read without waiting for Enter. Ctrl-C still interrupts."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._descriptor = (stream or sys.stdin).fileno()
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="ignore")
        self._parser = KeyParser()
        self._saved: Any = None

    def __enter__(self) -> KeyReader:
        self._saved = termios.tcgetattr(self._descriptor)
        changed = termios.tcgetattr(self._descriptor)
        # Ctrl-S would stop the output, and with it the conversation.
        changed[0] &= ~(termios.ICRNL | termios.IXON)
        changed[3] &= ~(termios.ICANON | termios.ECHO | termios.IEXTEN)
        changed[6][termios.VMIN], changed[6][termios.VTIME] = 0, 0
        # Ctrl-Z or Ctrl-\ in the middle of the screen would leave the terminal unusable.
        changed[6][termios.VSUSP] = changed[6][termios.VQUIT] = b"\0"
        termios.tcsetattr(self._descriptor, termios.TCSADRAIN, changed)
        return self

    def __exit__(self, *_: object) -> None:
        if self._saved is not None:
            termios.tcsetattr(self._descriptor, termios.TCSAFLUSH, self._saved)
            self._saved = None

    def read(self, timeout_s: float) -> list[Key]:
        """Return the keys pressed within `timeout_s`, without those that have no meaning."""
        if not self._ready(timeout_s):
            return []
        keys = self._parser.feed(self._received())
        while self._parser.unfinished and self._ready(_SEQUENCE_LIMIT_S):
            keys += self._parser.feed(self._received())
        return keys + self._parser.flush()

    def _ready(self, timeout_s: float) -> bool:
        return bool(select.select([self._descriptor], [], [], timeout_s)[0])

    def _received(self) -> str:
        return self._decoder.decode(os.read(self._descriptor, 1024))


class KeyParser:
    """Splits the characters from a terminal into keys. A marked paste may arrive in many parts."""

    def __init__(self) -> None:
        self._rest = ""

    @property
    def unfinished(self) -> bool:
        """Whether the last characters may begin a longer sequence."""
        return bool(self._rest) and not self._rest.startswith(_PASTE_BEGINS)

    def feed(self, text: str) -> list[Key]:
        """Return the keys that are complete with `text`."""
        text, self._rest = self._rest + text, ""
        keys: list[Key] = []
        position = 0
        while position < len(text):
            if text.startswith(_PASTE_BEGINS, position):
                end = text.find(_PASTE_ENDS, position)
                if end < 0:
                    self._rest = text[position:]
                    return keys
                keys.append(Paste(text[position + len(_PASTE_BEGINS) : end]))
                position = end + len(_PASTE_ENDS)
            elif sequence := _SEQUENCE.match(text, position):
                keys += [key for key in (_SEQUENCES.get(sequence[1]),) if key]
                position = sequence.end()
            elif _UNFINISHED.match(text, position):
                self._rest = text[position:]
                return keys
            else:
                keys.append({"\n": ENTER, "\b": BACKSPACE}.get(text[position], text[position]))
                position += 1
        return keys

    def flush(self) -> list[Key]:
        """Return the Escape key if a sequence is unfinished, because nothing follows."""
        if not self.unfinished:
            return []
        self._rest = ""
        return [ESCAPE]


def next_key(keys: list[Key], typing: bool) -> tuple[Key, list[Key]]:
    """Return the next key to press and those left.

    Not every terminal marks a paste. Outside the input line, several different characters at once are taken
    for a paste, because nobody types that quickly, unless they start with the key that opens the input line.
    """
    single = [key for key in keys if isinstance(key, str) and len(key) == 1]
    text = [key for key in single if key == ENTER or key.isprintable()]
    lines = "".join(text).split(ENTER)
    opens_line = keys[0] in ("t", ENTER) and not any(lines[2 if keys[0] == ENTER else 1 :])
    if typing or opens_line or len(set(text)) < _UNMARKED_PASTE:
        return keys[0], keys[1:]
    return Paste("\n".join(lines)), []


@dataclass(frozen=True)
class Line:
    """A line that is being typed. The cursor is before `text[cursor]`."""

    text: str = ""
    cursor: int = 0
    back: int = 0
    """How many entries back in the history `text` was found; 0 if it is new."""
    draft: str = ""
    """The new text, while an older one is shown."""
    killed: str = ""
    """The text that the last kill removed, for Ctrl-Y."""

    def insert(self, new: str) -> Line:
        """Insert the printable characters of `new` at the cursor."""
        new = "".join(filter(str.isprintable, new))
        text = self.text[: self.cursor] + new + self.text[self.cursor :]
        return replace(self, text=text, cursor=self.cursor + len(new))

    def move(self, cursor: int) -> Line:
        """Move the cursor, within the text."""
        return replace(self, cursor=min(max(0, cursor), len(self.text)))

    def remove(self, start: int, end: int) -> Line:
        """Remove `text[start:end]`."""
        return replace(self, text=self.text[: max(0, start)] + self.text[end:], cursor=max(0, start))

    def kill(self, start: int, end: int) -> Line:
        """Remove `text[start:end]` and keep it for Ctrl-Y."""
        return replace(self.remove(start, end), killed=self.text[start:end] or self.killed)

    def recall(self, back: int, history: tuple[str, ...]) -> Line:
        """Show the text `back` entries back in the history, or the draft for 0."""
        if not 0 <= back <= len(history) or back == self.back:
            return self
        draft = self.draft if self.back else self.text
        text = history[-back] if back else draft
        return replace(self, text=text, cursor=len(text), back=back, draft=draft)

    @property
    def word_start(self) -> int:
        """Where the word before the cursor starts."""
        return self.text[: self.cursor].rstrip().rfind(" ") + 1

    @property
    def word_end(self) -> int:
        """Where the word after the cursor ends."""
        rest = self.text[self.cursor :]
        gap = len(rest) - len(rest.lstrip())
        return self.cursor + gap + len(rest[gap:].split(" ")[0])


_EDITS: dict[str, Callable[[Line, tuple[str, ...]], Line]] = {
    LEFT: lambda line, _: line.move(line.cursor - 1),
    RIGHT: lambda line, _: line.move(line.cursor + 1),
    HOME: lambda line, _: line.move(0),
    END: lambda line, _: line.move(len(line.text)),
    WORD_LEFT: lambda line, _: line.move(line.word_start),
    WORD_RIGHT: lambda line, _: line.move(line.word_end),
    BACKSPACE: lambda line, _: line.remove(line.cursor - 1, line.cursor),
    DELETE: lambda line, _: line.remove(line.cursor, line.cursor + 1),
    KILL_WORD: lambda line, _: line.kill(line.word_start, line.cursor),
    KILL_TO_START: lambda line, _: line.kill(0, line.cursor),
    KILL_TO_END: lambda line, _: line.kill(line.cursor, len(line.text)),
    YANK: lambda line, _: line.insert(line.killed),
    UP: lambda line, history: line.recall(line.back + 1, history),
    DOWN: lambda line, history: line.recall(line.back - 1, history),
}


def edit(line: Line, key: Key, history: tuple[str, ...] = ()) -> Line:
    """Return the line after `key`, edited as in a shell. A key without a meaning changes nothing."""
    if isinstance(key, Paste):
        return line.insert(" ".join(key.text.split()))
    if key in _EDITS:
        return _EDITS[key](line, history)
    return line.insert(key) if len(key) == 1 else line


@contextmanager
def native_stderr_silenced() -> Iterator[None]:
    """Let only Python write to standard error within the context.

    PortAudio and ALSA write dozens of lines there for a lost device, which the agent reports in one.
    """
    python_stderr = sys.stderr
    try:
        python_stderr.flush()
        saved = os.dup(2)
    except (OSError, ValueError):  # closed: nothing to protect
        yield
        return
    own = os.fdopen(os.dup(saved), "w", buffering=1, encoding="utf-8", errors="replace")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)
    sys.stderr = own
    try:
        yield
    finally:
        sys.stderr = python_stderr
        os.dup2(saved, 2)
        os.close(saved)
        own.close()
