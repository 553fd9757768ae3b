"""Sound devices, found by name, with errors that say what to install or choose."""

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
        """Return the number of channels in `direction`; 0 if it has none."""
        return self.input_channels if direction == "input" else self.output_channels


@dataclass(frozen=True)
class DeviceList:
    """All devices and the indices of the system's defaults (None if there is none)."""

    devices: tuple[Device, ...]
    default_input: int | None
    default_output: int | None


def portaudio() -> ModuleType:
    """Return the sounddevice module; `AudioDeviceError` says what to install if PortAudio is missing."""
    try:
        import sounddevice
    except OSError as error:
        hint = "reinstall the Python package sounddevice, which brings it"
        if sys.platform.startswith("linux"):
            hint = "install it: `sudo apt install libportaudio2` or `sudo dnf install portaudio`"
        elif sys.platform == "darwin":
            hint += ", or `brew install portaudio`"
        raise AudioDeviceError(f"PortAudio is not installed ({error}); {hint}") from error
    return sounddevice


def list_devices() -> DeviceList:
    """Ask PortAudio, whose list is as old as its last start (see `refresh`)."""
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
    defaults = [index if index >= 0 else None for index in map(int, sounddevice.default.device)]
    return DeviceList(devices, *defaults)


def refresh() -> None:
    """Make PortAudio renew its list of devices. This ends every open stream, so close those first."""
    sounddevice = portaudio()
    with suppress(sounddevice.PortAudioError):  # an earlier attempt ended it and could not start it again
        sounddevice._terminate()
    sounddevice._initialize()


def find_device(listed: DeviceList, wanted: str | None, direction: Direction) -> Device:
    """Return the device for an index, a name, or a part of exactly one name; the default for None.

    An exact name wins over a part; case does not matter. If one name is listed under several host APIs, the
    first is taken, as PortAudio itself does.

    Raises:
        AudioDeviceError: there is none, or more than one; the message lists the choices.
    """
    usable = [device for device in listed.devices if device.channels(direction) > 0]
    if not usable:
        raise AudioDeviceError(
            f"no audio {direction} device; connect one, or type with `taste-agent chat --text`"
        )
    text = (wanted or "").strip().lower()
    if not text:
        index = listed.default_input if direction == "input" else listed.default_output
        return next((device for device in usable if device.index == index), usable[0])
    if text.isdigit():
        for device in usable:
            if device.index == int(text):
                return device
        raise AudioDeviceError(f"there is no {direction} device {text}; allowed: {_choices(usable)}")
    partial = [device for device in usable if text in device.name.lower()]
    for device in partial:
        if device.name.lower() == text:
            return device
    names, given = {device.name for device in partial}, (wanted or "").strip()
    if len(names) == 1:
        return partial[0]
    if names:
        raise AudioDeviceError(
            f"{direction} device {given!r} fits several: {_choices(partial)}; give more of the name"
        )
    near = difflib.get_close_matches(given, [device.name for device in usable], n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise AudioDeviceError(f"there is no {direction} device {given!r}; {hint}allowed: {_choices(usable)}")


def _choices(devices: list[Device]) -> str:
    return ", ".join(f"{device.index} {device.name!r}" for device in devices)
