"""Ends that come in time: a thread whose call does not return is left behind."""

import os
import sys
import threading
from contextlib import suppress
from typing import NoReturn

_left_behind: list[threading.Thread] = []


def join_or_leave(thread: threading.Thread, limit_s: float) -> bool:
    """Wait for a daemon thread for `limit_s` at most; return whether it has ended, else it is left behind."""
    thread.join(limit_s)
    if thread.is_alive():
        _left_behind.append(thread)
        return False
    return True


def end_process(code: int) -> NoReturn:
    """Exit with `code`.

    A thread that was left behind would hold the exit up, or abort it where its call returns meanwhile: then
    Python is not shut down.
    """
    if any(thread.is_alive() for thread in _left_behind):
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    sys.exit(code)
