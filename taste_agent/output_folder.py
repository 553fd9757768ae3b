"""The folder that a command writes to."""

import errno
import os
from pathlib import Path
from tempfile import TemporaryFile

from taste_agent.errors import AgentError


def make_writable(folder: Path) -> None:
    """Make a folder if need be, and see that it can be written: what is to go there takes long to make.

    Raises:
        AgentError: it cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise cannot_write(folder, error) from error


def cannot_write(folder: Path, error: OSError) -> AgentError:
    """The error that says why nothing more goes to a folder, and what to do."""
    if error.errno == errno.ENOSPC:
        return AgentError(f"the disk of {folder} is full; free some space and run again")
    reason = os.strerror(error.errno) if error.errno else str(error)
    return AgentError(f"cannot write to {folder} ({reason}); name another folder with --out")
