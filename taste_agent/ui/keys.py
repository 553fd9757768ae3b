"""Keys from a terminal, which gets its settings back whatever happens."""

from __future__ import annotations

import codecs
import os
import re
import select
import sys
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TextIO

try:
    import termios
except ImportError:  # not a POSIX terminal
    termios = None  # type: ignore[assignment]

ESCAPE, ENTER, BACKSPACE = "\x1b", "\r", "\x7f"
# Arrows and their like are the control characters that mean the same to a line editor.
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
# The bytes of one key may come in two reads; nobody presses Escape and the next key as quickly.
_SEQUENCE_LIMIT_S = 0.03
_UNMARKED_PASTE = 3


@dataclass(frozen=True)
class Paste:
    """Text that was pasted; no character of it is a key."""

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
    """Reads keys without waiting for Enter while the context lasts. Ctrl-C still interrupts."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Read from `stream`, normally standard input."""
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
        # Stopping or dying in the middle of the drawn screen would leave the terminal unusable.
        changed[6][termios.VSUSP] = changed[6][termios.VQUIT] = b"\0"
        termios.tcsetattr(self._descriptor, termios.TCSADRAIN, changed)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._saved is not None:
            termios.tcsetattr(self._descriptor, termios.TCSAFLUSH, self._saved)
            self._saved = None

    def read(self, timeout_s: float) -> list[Key]:
        """Return the keys pressed within `timeout_s`; a key without a meaning gives nothing."""
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
    """Splits what a terminal sends into keys. A paste, which the terminal marks, may come in many parts."""

    def __init__(self) -> None:
        """Begin outside a paste."""
        self._rest = ""

    @property
    def unfinished(self) -> bool:
        """Whether the last bytes may be the beginning of a longer sequence."""
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
        """Return what an unfinished sequence means when nothing follows: the Escape key."""
        if not self.unfinished:
            return []
        self._rest = ""
        return [ESCAPE]


def next_key(keys: list[Key], typing: bool) -> tuple[Key, list[Key]]:
    """Return the next key to press and those left.

    Not every terminal marks a paste. Outside typing, several different characters at once are one, as nobody
    presses keys so quickly; only what begins with the key that opens the input line may be typed.
    """
    text = [key for key in keys if isinstance(key, str) and (key == ENTER or key.isprintable())]
    text = [key for key in text if len(key) == 1]
    lines = "".join(text).split(ENTER)
    opens_line = keys[0] in ("t", ENTER) and not any(lines[2 if keys[0] == ENTER else 1 :])
    if typing or opens_line or len(set(text)) < _UNMARKED_PASTE:
        return keys[0], keys[1:]
    return Paste("\n".join(lines)), []
