"""What is made of packaged files, once, in the user's cache folder; later starts only check and map it."""

import hashlib
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from filelock import FileLock

from taste_speech.errors import CheckpointError
from taste_speech.pretrained.packaged import PackagedFile, file_sha256

logger = logging.getLogger(__name__)

MANIFEST = "files.json"
LOCK_WAIT_S = 120.0
Progress = Callable[[float], None]
"""Takes the share of the work that is done, from 0 to 1."""


def cache_folder() -> Path:
    """Folder of this program in the user's cache; `XDG_CACHE_HOME` moves it on any system."""
    home = Path.home()
    usual = {
        "darwin": home / "Library" / "Caches",
        "win32": Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local"),
    }.get(sys.platform, home / ".cache")
    return Path(os.environ.get("XDG_CACHE_HOME") or usual) / "taste-agent"


def converted(
    name: str,
    sources: Sequence[PackagedFile],
    convert: Callable[[Sequence[Path], Path, Progress], None],
    version: int,
    progress: Progress | None = None,
) -> Path:
    """Folder with what `convert` makes of the sources; made if it is not there or is damaged.

    Every byte is checked at each call, which takes a second for some 2 GB. Of processes that come at the same
    time one converts and the others wait for it.

    Args:
        name: begins the folder's name; the sources' sha256 and `version` end it.
        sources: what is converted.
        convert: takes the paths of the sources, an empty folder to write to, and what to tell progress.
        version: of what `convert` writes; a new one makes a new folder.
        progress: called while it converts; not at all where that was done before.

    Raises:
        CheckpointError: a source is missing, or the cache folder cannot be written.
    """
    key = hashlib.sha256(":".join([*(source.sha256 for source in sources), str(version)]).encode())
    folder = cache_folder() / f"{name}-{key.hexdigest()[:12]}"
    if is_whole(folder):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock", timeout=LOCK_WAIT_S):
            if not is_whole(folder):
                paths = [source.find() for source in sources]
                logger.warning("first start: converting %s, once, into %s", name, folder)
                _write(folder, lambda empty: convert(paths, empty, progress or (lambda _: None)))
    except OSError as error:
        raise CheckpointError(
            f"cannot write the converted {name} to {folder.parent} ({error}); "
            "make room there, or set XDG_CACHE_HOME to another folder"
        ) from error
    return folder


def _write(folder: Path, fill: Callable[[Path], None]) -> None:
    """Fill a folder beside `folder`, list its files, and put it in place in one step."""
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}.", dir=folder.parent) as made:
        empty = Path(made) / "content"
        empty.mkdir()
        fill(empty)
        found = {path.name: file_sha256(path) for path in sorted(empty.iterdir())}
        (empty / MANIFEST).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        if folder.exists():  # damaged: somebody may still read it, so it is moved before it goes
            folder.replace(Path(made) / "damaged")
        empty.replace(folder)


def is_whole(folder: Path) -> bool:
    """Whether a folder has all files that its list names, each with the bytes that were written."""
    try:
        listed = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return bool(listed) and all(file_sha256(folder / file) == sha256 for file, sha256 in listed.items())
    except (OSError, ValueError, AttributeError):
        return False
