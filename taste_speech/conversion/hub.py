"""Find a checkpoint: a folder, a checkpoint shipped with the package, or a repository on the hub."""

import errno
import json
import logging
import os
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, TypedDict, Unpack, cast

from taste_speech.errors import CheckpointError

logger = logging.getLogger(__name__)

SHIPPED = Path(__file__).parents[1] / "checkpoints"
"""Checkpoints shipped with the package, one folder each; the folder's name is the checkpoint's name."""
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG)
MODEL_FILES = ("config.json", "model*.safetensors", "model*.safetensors.index.json")
_FROM_AUTO_CLASSES = ("adapter_kwargs", "trust_remote_code", "_commit_hash", "_from_auto")
"""Arguments that the automatic classes of transformers add, ignored here."""


class HubOptions(TypedDict, total=False):
    """Options of a download from the hub, as in `huggingface_hub.snapshot_download`."""

    revision: str | None
    cache_dir: str | Path | None
    token: str | bool | None
    local_files_only: bool
    force_download: bool


def hub_options(arguments: Mapping[str, Any], others: str) -> HubOptions:
    """Check that the extra arguments of a `from_pretrained` are hub options, and return them.

    Args:
        arguments: extra arguments by name; those added by automatic classes are ignored.
        others: other arguments of that `from_pretrained`, for the error message.

    Raises:
        TypeError: an argument is not a hub option.
    """
    given = {name: value for name, value in arguments.items() if name not in _FROM_AUTO_CLASSES}
    if unknown := sorted(given.keys() - HubOptions.__annotations__.keys()):
        known = ", ".join(HubOptions.__annotations__)
        raise TypeError(f"from_pretrained got {', '.join(unknown)}; it takes {known}, {others}")
    return cast(HubOptions, given)


def shipped_names() -> list[str]:
    """Return the names of the checkpoints shipped with the package."""
    return sorted(path.parent.name for path in SHIPPED.glob("*/config.json"))


def find_checkpoint(
    name_or_path: str | os.PathLike[str],
    patterns: Sequence[str] = MODEL_FILES,
    **options: Unpack[HubOptions],
) -> Path:
    """Return the folder with the files of a checkpoint that match `patterns`; download missing ones.

    Args:
        name_or_path: a folder, the name of a shipped checkpoint ("small"), or a hub id ("owner/name").
        patterns: file names or globs, relative to the checkpoint.
        options: hub options.

    Raises:
        CheckpointError: there is no such checkpoint, or it cannot be downloaded.
    """
    path = Path(name_or_path)
    if path.is_dir():
        return path
    if path.is_file():
        raise CheckpointError(f"{path} is a file; give the folder of the checkpoint that holds config.json")
    name = os.fspath(name_or_path)
    if "/" not in name and "\\" not in name:
        if (SHIPPED / name / "config.json").is_file():
            return SHIPPED / name
        shipped = ", ".join(shipped_names()) or "none"
        raise CheckpointError(
            f"no checkpoint {name!r}: not a folder, and not shipped with the package (shipped: {shipped}); "
            "give a folder or a hub id such as MediaTek-Research/Llama-1B-TASTE-V0"
        )
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise CheckpointError(
            f"no folder {name!r}; give an existing folder, a hub id (owner/name) or a shipped name"
        )
    return _fetch(name, patterns, options)


def _fetch(repository: str, patterns: Sequence[str], options: HubOptions) -> Path:
    from huggingface_hub.constants import HF_HUB_CACHE, HF_HUB_OFFLINE
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if HF_HUB_OFFLINE or options.get("local_files_only"):
        why = "offline mode is on" if HF_HUB_OFFLINE else "local_files_only is set"
        return _downloaded(repository, patterns, options, why)
    try:
        _announce(repository, patterns, options)
        return _snapshot(repository, patterns, options)
    except GatedRepoError:
        raise CheckpointError(
            f"{repository} is given only to those who accept its terms; do so on its page, "
            "then run `hf auth login`"
        ) from None
    except RepositoryNotFoundError:
        raise CheckpointError(
            f"the hub has no repository {repository!r}, or it is private; "
            "check the name, or run `hf auth login`"
        ) from None
    except RevisionNotFoundError:
        raise CheckpointError(
            f"{repository} has no revision {options.get('revision')!r} on the hub; "
            "give a branch, tag or commit of it"
        ) from None
    except Exception as error:  # the type depends on the HTTP library of the hub's client
        if (reason := _failure_of_disk(error)) is not None:
            folder = options.get("cache_dir") or HF_HUB_CACHE
            raise CheckpointError(
                f"cannot download {repository} to {folder} ({reason}); free some space there, "
                "or name another folder in HF_HOME"
            ) from error
        status = error.response.status_code if isinstance(error, HfHubHTTPError) else 0
        if 400 <= status < 500:
            raise CheckpointError(
                f"the hub refuses {repository} (HTTP {status}); try again later, or run `hf auth login`"
            ) from error
        logger.warning("cannot reach the hub (%s); looking for %s among the downloads", error, repository)
    return _downloaded(repository, patterns, options, "the hub cannot be reached")


def _snapshot(repository: str, patterns: Sequence[str], options: HubOptions) -> Path:
    import huggingface_hub

    # Pass the name of the revision, not its commit: only then does the hub's client record the commit
    # and find the files when offline.
    settings: HubOptions = {"revision": None, **options}
    return Path(huggingface_hub.snapshot_download(repository, allow_patterns=list(patterns), **settings))


def _downloaded(repository: str, patterns: Sequence[str], options: HubOptions, why: str) -> Path:
    """Return the folder of a complete earlier download; `why` tells users why nothing is downloaded now."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        local: HubOptions = {**options, "local_files_only": True, "force_download": False}
        folder = _snapshot(repository, patterns, local)
    except (LocalEntryNotFoundError, OSError):
        raise CheckpointError(
            f"{repository} ({', '.join(patterns)}) has not been downloaded, or only a part of it, and {why}; "
            "connect once, or give a folder that holds the checkpoint"
        ) from None
    for index in folder.glob("*.index.json"):
        named = set(json.loads(index.read_text(encoding="utf-8")).get("weight_map", {}).values())
        wanted = [file for file in named if any(fnmatch(file, pattern) for pattern in patterns)]
        if missing := sorted(file for file in wanted if not (folder / file).is_file()):
            raise CheckpointError(
                f"the download of {repository} is incomplete ({missing[0]} is missing) and {why}; "
                "connect and run again; it continues where it stopped"
            )
    return folder


def _failure_of_disk(error: BaseException | None) -> str | None:
    """Return the reason if a download failed because it could not be written."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
            return os.strerror(error.errno)
        if "no space left" in str(error).lower():  # from code outside Python
            return os.strerror(errno.ENOSPC)
        error = error.__cause__ or error.__context__
    return None


def _announce(repository: str, patterns: Sequence[str], options: HubOptions) -> None:
    """Log the size of the download that is about to start."""
    import huggingface_hub

    info = huggingface_hub.HfApi(token=options.get("token")).model_info(
        repository, revision=options.get("revision"), files_metadata=True
    )
    wanted = [f for f in info.siblings or [] if any(fnmatch(f.rfilename, pattern) for pattern in patterns)]

    def is_here(name: str) -> bool:
        found = huggingface_hub.try_to_load_from_cache(
            repository, name, cache_dir=options.get("cache_dir"), revision=info.sha
        )
        return isinstance(found, str)

    missing = [file for file in wanted if options.get("force_download") or not is_here(file.rfilename)]
    if missing:
        size_gb = sum(file.size or 0 for file in missing) / 1e9
        logger.warning("downloading %s: %d files, %.2f GB", repository, len(missing), size_gb)


def require_file(folder: Path, name: str, origin: str | os.PathLike[str]) -> Path:
    """Return the path of a file of a checkpoint.

    Raises:
        CheckpointError: the file is missing.
    """
    path = folder / name
    if not path.is_file():
        raise CheckpointError(f"{os.fspath(origin)} has no file {name}; fetch it into {folder}")
    return path
