"""Errors that a person can cause or cure, and the exit codes of the commands."""

from enum import IntEnum


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
    """A setting is unknown, out of range or cannot be read."""

    exit_code = ExitCode.USAGE


class AudioFileError(AgentError, ValueError):
    """An audio file cannot be written."""


class AudioDeviceError(AgentError):
    """A sound device or PortAudio is missing or was lost."""


class Terminated(BaseException):
    """SIGTERM arrived; like KeyboardInterrupt it passes every `except Exception` and unwinds all files."""
