import huggingface_hub
import pytest


@pytest.fixture
def hub(monkeypatch):
    """Files of the hub by (repository, name); those in `downloaded` are there without the network."""

    class Hub:
        files: dict = {}
        downloaded: set = set()
        asked: list = []

    found = Hub()
    found.files, found.downloaded, found.asked = {}, set(), []

    def download(repository, name, local_files_only):
        found.asked.append((name, local_files_only))
        if (repository, name) in found.files and (not local_files_only or name in found.downloaded):
            return str(found.files[repository, name])
        raise OSError("not there")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return found


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of installed packages."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder of the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "taste-agent"
