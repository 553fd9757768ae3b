"""Keeps native libraries from writing over the screen."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def native_stderr_silenced() -> Iterator[None]:
    """While the context lasts, only Python can write to standard error.

    PortAudio and ALSA report every lost device there in dozens of lines, which the agent tells in one.
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
