"""Signals that end the program: Ctrl-C, SIGTERM, and SIGHUP when the terminal is closed."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from taste_agent.errors import Terminated

_TERMINATING = (signal.SIGTERM, *((signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()))
_ENDING = (signal.SIGINT, *_TERMINATING)


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
    """What ends the program waits for the end of the block; in the main thread, elsewhere none arrives.

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
