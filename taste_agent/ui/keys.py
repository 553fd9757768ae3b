"""Single keys from a terminal, which gets its settings back whatever happens."""

from __future__ import annotations

import codecs
import os
import select
import sys
from types import TracebackType
from typing import Any, TextIO

try:
    import termios
except ImportError:  # not a POSIX terminal
    termios = None  # type: ignore[assignment]

ESCAPE = "\x1b"
ENTER = "\r"
BACKSPACE = "\x7f"


def keys_available(stream: TextIO | None = sys.stdin) -> bool:
    """Whether single keys can be read from `stream`."""
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
        self._saved: Any = None

    def __enter__(self) -> KeyReader:
        self._saved = termios.tcgetattr(self._descriptor)
        changed = termios.tcgetattr(self._descriptor)
        changed[0] &= ~termios.ICRNL
        changed[3] &= ~(termios.ICANON | termios.ECHO)
        changed[6][termios.VMIN], changed[6][termios.VTIME] = 0, 0
        # Stopping in the middle of the drawn screen would leave the terminal unusable.
        changed[6][termios.VSUSP] = b"\0"
        termios.tcsetattr(self._descriptor, termios.TCSADRAIN, changed)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._saved is not None:
            termios.tcsetattr(self._descriptor, termios.TCSAFLUSH, self._saved)
            self._saved = None

    def read(self, timeout_s: float) -> list[str]:
        """The characters typed within `timeout_s`; an arrow or function key gives nothing."""
        ready, _, _ = select.select([self._descriptor], [], [], timeout_s)
        if not ready:
            return []
        return split_keys(self._decoder.decode(os.read(self._descriptor, 1024)))


def split_keys(text: str) -> list[str]:
    """Characters of `text` without escape sequences; a lone Escape stays, newline counts as Enter."""
    keys: list[str] = []
    position = 0
    while position < len(text):
        if text[position] == ESCAPE and text[position + 1 : position + 2] in ("[", "O"):
            position += 2
            while position < len(text) and not ("@" <= text[position] <= "~"):
                position += 1
        else:
            keys.append({"\n": ENTER, "\b": BACKSPACE}.get(text[position], text[position]))
        position += 1
    return keys
