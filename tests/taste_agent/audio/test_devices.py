import builtins

import pytest

from taste_agent.audio import devices
from taste_agent.audio.devices import Device, DeviceList, find_device, portaudio
from taste_agent.errors import AudioDeviceError

LIST = DeviceList(
    devices=(
        Device(0, "Built-in Microphone", "Core", 1, 0, 48000),
        Device(1, "Built-in Speakers", "Core", 0, 2, 48000),
        Device(2, "USB Headset", "Core", 1, 2, 44100),
        Device(3, "USB Headset 2", "Core", 1, 2, 44100),
    ),
    default_input=0,
    default_output=1,
)


@pytest.mark.parametrize(
    ("wanted", "direction", "index"),
    [
        (None, "input", 0),
        ("", "output", 1),
        ("  ", "output", 1),
        ("2", "input", 2),
        ("speakers", "output", 1),
        ("usb headset", "input", 2),
        ("headset 2", "output", 3),
    ],
)
def test_device_is_found(wanted, direction, index):
    assert find_device(LIST, wanted, direction).index == index


@pytest.mark.parametrize(
    ("wanted", "direction", "message"),
    [
        ("headset", "input", "matches several: 2 'USB Headset', 3 'USB Headset 2'"),
        ("9", "input", "there is no input device 9; allowed: 0"),
        ("1", "input", "there is no input device 1"),
        ("USB Hedset", "output", "did you mean 'USB Headset'"),
        ("zzz", "output", "allowed: 1 'Built-in Speakers'"),
    ],
)
def test_what_is_wrong_is_told_with_the_choices(wanted, direction, message):
    with pytest.raises(AudioDeviceError, match=message):
        find_device(LIST, wanted, direction)


def test_no_device_at_all():
    with pytest.raises(AudioDeviceError, match="no audio input device; connect one"):
        find_device(DeviceList((), None, None), None, "input")


def test_without_a_default_the_first_usable_is_taken():
    assert find_device(DeviceList(LIST.devices, None, None), None, "output").index == 1


def test_missing_portaudio_names_the_package(monkeypatch):
    real_import = builtins.__import__

    def fail(name, *arguments, **options):
        if name == "sounddevice":
            raise OSError("PortAudio library not found")
        return real_import(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", fail)
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(AudioDeviceError, match="libportaudio2"):
        portaudio()


def test_devices_are_looked_for_again_after_a_failed_attempt(monkeypatch):
    class PortAudioError(Exception):
        pass

    class Fake:
        calls = []

        def _terminate(self):
            self.calls.append("terminate")
            raise PortAudioError("PortAudio not initialized")

        def _initialize(self):
            self.calls.append("initialize")

    Fake.PortAudioError = PortAudioError
    monkeypatch.setattr(devices, "portaudio", Fake)
    devices.refresh()
    assert Fake.calls == ["terminate", "initialize"]
