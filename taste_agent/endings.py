"""How the program ends: by signals (Ctrl-C, SIGTERM, SIGHUP of a closed terminal), and in time.

A thread whose call does not return is left behind.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from taste_agent.errors import Terminated

_TERMINATING = (signal.SIGTERM, *((signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()))
_ENDING = (signal.SIGINT, *_TERMINATING)
_left_behind: list[threading.Thread] = []


def raise_on_signals() -> None:
    """From now on Ctrl-C raises `KeyboardInterrupt`, and SIGTERM and SIGHUP raise `Terminated`."""
    for number in _TERMINATING:
        # `nohup` has SIGHUP ignored.
        if number == signal.SIGTERM or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _terminate)
    # A shell's background job starts with it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def signals_held() -> Iterator[None]:
    """Hold back signals that end the program until the block is done; only the main thread gets any.

    An exception that is raised while a native module is initialized aborts the process, and one that is
    raised while files are completed leaves them incomplete.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    before = {number: signal.signal(number, lambda number, frame: held.append(number)) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if held:
            signal.raise_signal(held[0])


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated


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
