"""Finding checkpoints by folder, shipped name and hub id, without a network."""

import errno
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from taste_speech import CheckpointError
from taste_speech.conversion import hub

REPOSITORY = "owner/speaks"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONTENT = b"{}"


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


class Hub(BaseHTTPRequestHandler):
    """What the hub answers for `REPOSITORY`, which has a `config.json` and the branch `main`."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        file = {"path": "config.json", "rfilename": "config.json", "size": len(CONTENT), "oid": "1" * 40}
        if path.startswith(f"/api/models/{REPOSITORY}/tree/{COMMIT}"):
            self._answer(200, json.dumps([{"type": "file", **file}]).encode())
        elif path in (f"/api/models/{REPOSITORY}", f"/api/models/{REPOSITORY}/revision/main"):
            info = {"id": REPOSITORY, "sha": COMMIT, "siblings": [file]}
            self._answer(200, json.dumps(info).encode())
        elif path == f"/{REPOSITORY}/resolve/{COMMIT}/config.json":
            self._answer(200, CONTENT)
        else:
            what = "Revision" if path.startswith(f"/api/models/{REPOSITORY}/") else "Repo"
            self._answer(404, b"", {"X-Error-Code": f"{what}NotFound"})

    do_HEAD = do_GET  # noqa: N815

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        known = {"X-Repo-Commit": COMMIT, "ETag": '"abc"', "Content-Length": str(len(body))}
        for name, value in (known | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""


@pytest.fixture
def local_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, online: None) -> Iterator[None]:
    """A hub on this machine, and an empty folder of downloads."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    files = f"{url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    constants = {
        "HF_HUB_CACHE": str(tmp_path / "downloads"),
        "ENDPOINT": url,
        "HUGGINGFACE_CO_URL_TEMPLATE": files,
    }
    for name, value in constants.items():
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)
    yield
    server.shutdown()
    thread.join()
    server.server_close()


def fail(*_: Any, **__: Any) -> Any:
    raise ConnectionError("no route to host")


def not_downloaded(*_: Any, **__: Any) -> Any:
    raise LocalEntryNotFoundError("nothing there")


def test_folders_and_shipped_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hub.find_checkpoint(tmp_path) == tmp_path
    monkeypatch.setattr(hub, "SHIPPED", tmp_path)
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "config.json").write_text("{}")
    assert hub.find_checkpoint("small") == tmp_path / "small"
    with pytest.raises(CheckpointError, match=r"no checkpoint 'large'.*shipped: small"):
        hub.find_checkpoint("large")


def test_wrong_paths(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no folder '/no/such/folder'"):
        hub.find_checkpoint("/no/such/folder")
    file = tmp_path / "model.safetensors"
    file.touch()
    with pytest.raises(CheckpointError, match="is a file; give the folder"):
        hub.find_checkpoint(file)


@pytest.mark.usefixtures("online")
def test_a_download_says_its_size_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    files = [("config.json", 1000), ("model-1.safetensors", 3_000_000_000), ("README.md", 5)]
    info = SimpleNamespace(
        sha="abc", siblings=[SimpleNamespace(rfilename=name, size=size) for name, size in files]
    )
    calls: list[dict[str, Any]] = []

    def snapshot(repository: str, **arguments: Any) -> str:
        calls.append({"said": caplog.text, "repository": repository, **arguments})
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)
    assert hub.find_checkpoint(REPOSITORY) == tmp_path
    assert "downloading owner/speaks: 2 files, 3.00 GB" in calls[0]["said"]
    assert calls[0]["revision"] is None
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: "/cached")
    caplog.clear()
    hub.find_checkpoint(REPOSITORY)
    assert "downloading" not in caplog.text


@pytest.mark.usefixtures("local_hub")
@pytest.mark.parametrize("revision", [None, "main"])
def test_what_was_downloaded_is_found_offline(revision: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = hub.find_checkpoint(REPOSITORY, revision=revision)
    assert (folder / "config.json").read_bytes() == CONTENT
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert hub.find_checkpoint(REPOSITORY, revision=revision) == folder


@pytest.mark.usefixtures("local_hub")
def test_files_lie_where_the_caller_wants_them(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has not been downloaded, .* and local_files_only is set"):
        hub.find_checkpoint(REPOSITORY, cache_dir=tmp_path / "own", local_files_only=True)
    folder = hub.find_checkpoint(REPOSITORY, cache_dir=tmp_path / "own", token=False)
    assert folder.is_relative_to(tmp_path / "own")
    (folder / "config.json").resolve().write_bytes(b"damaged")
    assert hub.find_checkpoint(REPOSITORY, cache_dir=tmp_path / "own", local_files_only=True) == folder
    hub.find_checkpoint(REPOSITORY, cache_dir=tmp_path / "own", force_download=True)
    assert (folder / "config.json").read_bytes() == CONTENT


@pytest.mark.usefixtures("local_hub")
def test_mistyped_names_and_revisions_are_told_apart() -> None:
    with pytest.raises(CheckpointError, match="owner/speaks has no revision 'mian' on the hub"):
        hub.find_checkpoint(REPOSITORY, revision="mian")
    with pytest.raises(CheckpointError, match="the hub has no repository 'owner/speks', or it is private"):
        hub.find_checkpoint("owner/speks")


class ConnectError(Exception):
    """As the HTTP libraries below the hub's client have it: no OSError."""


def cannot_connect(*_: object, **__: object) -> None:
    raise ConnectError("name or service not known")


def raised(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


def caused_by(cause: Exception) -> Exception:
    error = RuntimeError("data processing error")
    error.__cause__ = cause
    return error


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (caused_by(OSError(errno.ENOSPC, "No space left on device")), "No space left on device"),
        (RuntimeError("IO Error: No space left on device (os error 28)"), "No space left on device"),
        (PermissionError(errno.EACCES, "Permission denied"), "Permission denied"),
    ],
)
def test_a_download_that_cannot_be_written_says_so(
    monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    info = SimpleNamespace(sha="abc", siblings=[])
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", raised(error))
    with pytest.raises(CheckpointError, match=rf"cannot download owner/speaks to .* \({reason}\); free some"):
        hub.find_checkpoint(REPOSITORY)


@pytest.mark.usefixtures("local_hub")
@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (403, "GatedRepo", "is given only to those who accept its terms"),
        (403, "", r"the hub refuses owner/speaks \(HTTP 403\)"),
        (429, "", r"the hub refuses owner/speaks \(HTTP 429\)"),
        (503, "", "has not been downloaded, .* and the hub cannot be reached"),
    ],
)
def test_what_the_hub_answers_is_told(
    monkeypatch: pytest.MonkeyPatch, status: int, code: str, message: str
) -> None:
    monkeypatch.setattr(Hub, "do_GET", lambda self: self._answer(status, b"", {"X-Error-Code": code}))
    with pytest.raises(CheckpointError, match=message):
        hub.find_checkpoint(REPOSITORY)


@pytest.mark.usefixtures("online")
def test_a_part_of_a_download_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    (tmp_path / shards["a"]).touch()
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", fail)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(tmp_path))
    missing = shards["b"]
    with pytest.raises(CheckpointError, match=f"is incomplete .{missing} is missing.* continues where it"):
        hub.find_checkpoint(REPOSITORY)
    assert hub.find_checkpoint(REPOSITORY, ("config.json",)) == tmp_path
    (tmp_path / shards["b"]).touch()
    assert hub.find_checkpoint(REPOSITORY) == tmp_path


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize("failure", ["fail", "cannot_connect"])
def test_without_a_network_what_was_downloaded_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", globals()[failure])
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(tmp_path))
    assert hub.find_checkpoint(REPOSITORY) == tmp_path
    monkeypatch.setattr(huggingface_hub, "snapshot_download", not_downloaded)
    with pytest.raises(
        CheckpointError, match=r"owner/speaks .* has not been downloaded, .* and the hub cannot be reached"
    ):
        hub.find_checkpoint(REPOSITORY)


def test_offline_mode_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: pytest.fail("asked the hub"))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", not_downloaded)
    with pytest.raises(CheckpointError, match="offline mode is on; connect once"):
        hub.find_checkpoint(REPOSITORY)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"owner/speaks has no file config.json"):
        hub.require_file(tmp_path, "config.json", REPOSITORY)
