"""Checks and errors of the folder that a command writes to."""

import errno
import os
from pathlib import Path
from tempfile import TemporaryFile

from taste_agent.errors import AgentError


def check_writable(folder: Path) -> None:
    """Check that a folder can be written or created, without creating anything.

    Raises:
        AgentError: the folder cannot be created or written.
    """
    try:
        with TemporaryFile(dir=next(there for there in (folder, *folder.parents) if there.exists())):
            pass
    except OSError as error:
        raise cannot_write(folder, error) from error


def owner_only(path: str, flags: int) -> int:
    """Open a file that only its owner can read; an `opener` for `open`."""
    return os.open(path, flags, 0o600)


def cannot_write(folder: Path, error: OSError) -> AgentError:
    """Return the error for a failed write to a folder."""
    if error.errno == errno.ENOSPC:
        return AgentError(f"the disk of {folder} is full; free some space and run again")
    reason = os.strerror(error.errno) if error.errno else str(error)
    return AgentError(f"cannot write to {folder} ({reason}); name another folder with --out")
