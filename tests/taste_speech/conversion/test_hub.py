"""Finding checkpoints by folder, shipped name and hub id, without a network."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from taste_speech import CheckpointError
from taste_speech.conversion import hub

REPOSITORY = "owner/speaks"


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


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
    assert calls[0]["revision"] == "abc"
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: "/cached")
    caplog.clear()
    hub.find_checkpoint(REPOSITORY)
    assert "downloading" not in caplog.text


class ConnectError(Exception):
    """As the HTTP libraries below the hub's client have it: no OSError."""


def cannot_connect(*_: object, **__: object) -> None:
    raise ConnectError("name or service not known")


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
        CheckpointError, match=r"owner/speaks .* has not been downloaded and the hub cannot be reached"
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
