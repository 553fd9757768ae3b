"""Where a command writes to."""

import errno
import os
from pathlib import Path
from tempfile import TemporaryFile

from taste_agent.errors import AgentError


def check_writable(folder: Path) -> None:
    """See that a folder can be written, or made: what is to go there takes long to make.

    Nothing is made or left behind, for what comes first may fail.

    Raises:
        AgentError: it cannot be made or written.
    """
    try:
        with TemporaryFile(dir=next(there for there in (folder, *folder.parents) if there.exists())):
            pass
    except OSError as error:
        raise cannot_write(folder, error) from error


def owner_only(path: str, flags: int) -> int:
    """Opener (of `open`) for files that nobody else may read."""
    return os.open(path, flags, 0o600)


def cannot_write(folder: Path, error: OSError) -> AgentError:
    """The error that says why nothing more goes to a folder, and what to do."""
    if error.errno == errno.ENOSPC:
        return AgentError(f"the disk of {folder} is full; free some space and run again")
    reason = os.strerror(error.errno) if error.errno else str(error)
    return AgentError(f"cannot write to {folder} ({reason}); name another folder with --out")
