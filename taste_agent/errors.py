"""Errors, exit codes, signals, and the end of the process."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum
from types import FrameType
from typing import NoReturn


class ExitCode(IntEnum):
    """Exit codes of `taste-agent`."""

    OK = 0
    FAILED = 1
    USAGE = 2
    INTERRUPTED = 130
    TERMINATED = 143


class AgentError(Exception):
    """Base of the agent's errors: one line that says what was given, what is allowed and what to do next."""

    exit_code: ExitCode = ExitCode.FAILED


class SettingsError(AgentError, ValueError):
    """A setting is unknown, out of range or unreadable."""

    exit_code = ExitCode.USAGE


class AudioFileError(AgentError, ValueError):
    """An audio file cannot be written."""


class AudioDeviceError(AgentError):
    """A sound device or PortAudio is missing or was lost."""


class Terminated(BaseException):
    """SIGTERM or SIGHUP arrived. Like KeyboardInterrupt, it passes every `except Exception`."""


_TERMINATING = (signal.SIGTERM, *((signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()))
_left_behind: list[threading.Thread] = []


def raise_on_signals() -> None:
    """Make Ctrl-C raise `KeyboardInterrupt`, and SIGTERM and SIGHUP raise `Terminated`."""
    for number in _TERMINATING:
        # Under `nohup`, SIGHUP is ignored.
        if number == signal.SIGTERM or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _terminate)
    # A shell starts its background jobs with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated


@contextmanager
def signals_held() -> Iterator[None]:
    """Delay the signals that end the program until the block is done. Only the main thread receives signals.

    An exception raised while a native module initializes would abort the process; one raised while files are
    being completed would leave them incomplete.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    numbers = (signal.SIGINT, *_TERMINATING)
    before = {number: signal.signal(number, lambda number, frame: held.append(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if held:
            signal.raise_signal(held[0])


def join_or_leave(thread: threading.Thread, limit_s: float) -> bool:
    """Wait up to `limit_s` for a daemon thread and return whether it has ended; if not, leave it behind."""
    thread.join(limit_s)
    if thread.is_alive():
        _left_behind.append(thread)
        return False
    return True


def end_process(code: int) -> NoReturn:
    """Exit with `code`.

    A thread that was left behind could delay a normal shutdown of Python, or crash it by returning in the
    middle. If there is one, the process exits at once.
    """
    if any(thread.is_alive() for thread in _left_behind):
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    sys.exit(code)
