"""Finding sound devices by name, with errors that say what to install or choose."""

from __future__ import annotations

import difflib
import sys
from contextlib import suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

from taste_agent.errors import AudioDeviceError

Direction = Literal["input", "output"]


@dataclass(frozen=True)
class Device:
    """One device of one host API, as PortAudio lists it."""

    index: int
    name: str
    host_api: str
    input_channels: int
    output_channels: int
    default_rate_hz: int

    def channels(self, direction: Direction) -> int:
        """How many channels it has in `direction`; 0 where it has none."""
        return self.input_channels if direction == "input" else self.output_channels


@dataclass(frozen=True)
class DeviceList:
    """All devices and the indices of the system's defaults (None where there is none)."""

    devices: tuple[Device, ...]
    default_input: int | None
    default_output: int | None

    def default(self, direction: Direction) -> int | None:
        """Index of the default device in `direction`."""
        return self.default_input if direction == "input" else self.default_output


def portaudio() -> ModuleType:
    """The sounddevice module; `AudioDeviceError` names the package to install where PortAudio is missing."""
    try:
        import sounddevice
    except OSError as error:
        raise AudioDeviceError(f"PortAudio is not installed ({error}); {_install_hint()}") from error
    return sounddevice


def _install_hint() -> str:
    if sys.platform.startswith("linux"):
        return "install it: `sudo apt install libportaudio2` or `sudo dnf install portaudio`"
    if sys.platform == "darwin":
        return "reinstall the Python package sounddevice, which brings it, or `brew install portaudio`"
    return "reinstall the Python package sounddevice, which brings it"


def list_devices() -> DeviceList:
    """Ask PortAudio; its list is as of its start (see `refresh`)."""
    sounddevice = portaudio()
    host_apis = sounddevice.query_hostapis()
    devices = tuple(
        Device(
            index=entry["index"],
            name=entry["name"],
            host_api=host_apis[entry["hostapi"]]["name"],
            input_channels=entry["max_input_channels"],
            output_channels=entry["max_output_channels"],
            default_rate_hz=round(entry["default_samplerate"]),
        )
        for entry in sounddevice.query_devices()
    )
    default_input, default_output = (int(index) for index in sounddevice.default.device)
    return DeviceList(
        devices,
        default_input if default_input >= 0 else None,
        default_output if default_output >= 0 else None,
    )


def refresh() -> None:
    """Make PortAudio look for devices anew. It ends every open stream, so close those first."""
    sounddevice = portaudio()
    with suppress(sounddevice.PortAudioError):  # an earlier attempt ended it and could not start it again
        sounddevice._terminate()
    sounddevice._initialize()


def find_device(listed: DeviceList, wanted: str | None, direction: Direction) -> Device:
    """The device that `wanted` means: an index, a name, or a part of exactly one name; None is the default.

    An exact name wins over a part; letters' case does not matter. Where one name is listed under several
    host APIs, the first listed is taken, as PortAudio itself would do.

    Raises:
        AudioDeviceError: there is none, or more than one; the message lists the choices.
    """
    usable = [device for device in listed.devices if device.channels(direction) > 0]
    if not usable:
        raise AudioDeviceError(
            f"no audio {direction} device; connect one, or type with `taste-agent chat --text`"
        )
    if wanted is None or not wanted.strip():
        index = listed.default(direction)
        return next((device for device in usable if device.index == index), usable[0])
    text = wanted.strip()
    if text.isdigit():
        for device in usable:
            if device.index == int(text):
                return device
        raise AudioDeviceError(f"there is no {direction} device {text}; allowed: {_choices(usable)}")
    exact = [device for device in usable if device.name.lower() == text.lower()]
    if exact:
        return exact[0]
    partial = [device for device in usable if text.lower() in device.name.lower()]
    names = {device.name for device in partial}
    if len(names) == 1:
        return partial[0]
    if names:
        raise AudioDeviceError(
            f"{direction} device {text!r} fits several: {_choices(partial)}; give more of the name"
        )
    near = difflib.get_close_matches(text, [device.name for device in usable], n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise AudioDeviceError(f"there is no {direction} device {text!r}; {hint}allowed: {_choices(usable)}")


def _choices(devices: list[Device]) -> str:
    return ", ".join(f"{device.index} {device.name!r}" for device in devices)
