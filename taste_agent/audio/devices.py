"""Sound devices: PortAudio, guarded against calls that never return, and the sound server's routing.

If a device disappears, PulseAudio and its replacements move its streams silently. The stream of an unplugged
microphone gets another source or, without another microphone, the monitor of a loudspeaker: blocks keep
coming, with silence or the agent's own voice. Neither the age of callbacks nor PortAudio's device list shows
that. The server's own list does, which `pactl` prints; without `pactl` nothing is known.
"""

from __future__ import annotations

import atexit
import difflib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, TypeVar

from taste_agent.errors import AudioDeviceError, join_or_leave

Direction = Literal["input", "output"]
ASK_LIMIT_S = 1.5
# Asking starts a process. A real microphone is never digitally silent, so silence is a reason to ask.
ASK_EVERY_S, SILENT_AFTER_S, ASK_EVERY_SILENT_S = 10.0, 1.0, 3.0
MONITOR = ".monitor"
"""Suffix of the source that captures what a sink plays."""
CALL_LIMIT_S = 4.0
# Under PulseAudio, PortAudio's buffer is one block longer than the requested latency.
LATENCY_BLOCKS: dict[Direction, int] = {"input": 3, "output": 2}
CALL_THREAD = "portaudio-call"
Result = TypeVar("Result")


@dataclass(frozen=True)
class Device:
    """A device of a host API, as listed by PortAudio."""

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
    """All devices, and the indices of the system's default devices, if any."""

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
    """Return PortAudio's devices, as of its last start (see `refresh`)."""
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
    """Make PortAudio renew its device list; close all streams first, because this ends them."""
    sounddevice = portaudio()
    with suppress(sounddevice.PortAudioError):  # an earlier attempt may have failed to start it again
        sounddevice._terminate()
    sounddevice._initialize()


def find_device(listed: DeviceList, wanted: str | None, direction: Direction) -> Device:
    """Return the device with an index, a name or a unique part of a name; the default device for None.

    An exact name wins over a part, and case does not matter. Of several host APIs with the same device, the
    first is used, as in PortAudio.

    Raises:
        AudioDeviceError: no device fits, or several do; the message lists the choices.
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
            f"{direction} device {given!r} matches several: {_choices(partial)}; give more of the name"
        )
    near = difflib.get_close_matches(given, [device.name for device in usable], n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise AudioDeviceError(f"there is no {direction} device {given!r}; {hint}allowed: {_choices(usable)}")


def _choices(devices: list[Device]) -> str:
    return ", ".join(f"{device.index} {device.name!r}" for device in devices)


@dataclass(frozen=True, slots=True)
class Routes:
    """Names of the source of our capture and the sink of our playback; None without a stream."""

    source: str | None = None
    sink: str | None = None


def hears_only_the_loudspeaker(routes: Routes | None) -> bool:
    """Return whether we capture our own playback, which means that there is no microphone."""
    return routes is not None and routes.sink is not None and routes.source == routes.sink + MONITOR


def time_to_ask(since_asked_s: float, since_sound_s: float) -> bool:
    """Return whether to ask the server again; `since_sound_s` is the silence of the capture."""
    return since_asked_s >= (ASK_EVERY_SILENT_S if since_sound_s >= SILENT_AFTER_S else ASK_EVERY_S)


def ask_routes() -> Routes | None:
    """Return our routes; None without a sound server that can be asked."""
    program = shutil.which("pactl")
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, "--format=json", "list"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=ASK_LIMIT_S,
            check=True,
            env={**os.environ, "LC_ALL": "C"},  # otherwise some versions write decimal commas
        )
        return routes_of(json.loads(done.stdout), os.getpid())
    except (OSError, ValueError, TypeError, KeyError, AttributeError, subprocess.SubprocessError):
        return None


def routes_of(listed: dict[str, Any], process: int) -> Routes:
    """Return the routes of a process, from the output of `pactl --format=json list`."""

    def device(streams: str, devices: str, key: str) -> str | None:
        names = {device["index"]: str(device["name"]) for device in listed[devices]}
        ours = [s for s in listed[streams] if s["properties"].get("application.process.id") == str(process)]
        return names.get(ours[-1][key]) if ours else None

    return Routes(device("source_outputs", "sources", "source"), device("sink_inputs", "sinks", "sink"))


class StuckError(RuntimeError):
    """A call into the audio system did not return in time, and its stream was abandoned."""


class Stream:
    """An open stream, whose calls raise `StuckError` if they do not return."""

    def __init__(self, stream: Any, in_time: Callable[[Callable[[], Any]], Any]) -> None:
        self._stream, self._in_time = stream, in_time

    @property
    def active(self) -> bool:
        """Whether the stream still calls back."""
        return bool(self._stream.active)

    def start(self) -> None:
        """Start to call back."""
        self._in_time(self._stream.start)

    def close(self) -> None:
        """Stop and free the stream."""
        self._in_time(self._stream.close)


class PortAudioBackend:
    """The calls into PortAudio and the sound server.

    A call can block forever if its device vanishes or the sound server hangs. So calls run in a thread that
    is abandoned after `CALL_LIMIT_S`. From then on PortAudio is neither renewed nor shut down, because that
    would wait for the lost call or crash.
    """

    def __init__(self) -> None:
        self._stuck = False

    def list_devices(self) -> DeviceList:
        """Return all known devices."""
        return list_devices()

    def refresh(self) -> None:
        """Renew the device list, which ends all streams; do nothing after a call got stuck."""
        if not self._stuck:
            self._in_time(refresh)

    def routes(self) -> Routes | None:
        """Return the routes of our streams; None if unknown."""
        return ask_routes()

    def open(
        self, direction: Direction, device: Device, rate_hz: int, channels: int, block: int, callback: Any
    ) -> Stream:
        """Open a float32 stream without starting it; raise any exception if that is impossible."""
        sounddevice = portaudio()
        kind = sounddevice.InputStream if direction == "input" else sounddevice.OutputStream
        stream = self._in_time(
            lambda: kind(
                device=device.index,
                samplerate=rate_hz,
                channels=channels,
                dtype="float32",
                blocksize=block,
                latency=LATENCY_BLOCKS[direction] * block / rate_hz,
                callback=callback,
            )
        )
        return Stream(stream, self._in_time)

    def _in_time(self, function: Callable[[], Result]) -> Result:
        """Call into PortAudio; raise `StuckError` if the call does not return in time."""
        results: list[Result] = []
        errors: list[Exception] = []

        def run() -> None:
            try:
                results.append(function())
            except Exception as error:
                errors.append(error)

        thread = threading.Thread(target=run, name=CALL_THREAD, daemon=True)
        thread.start()
        if not join_or_leave(thread, CALL_LIMIT_S):
            self._stuck = True
            atexit.unregister(portaudio()._exit_handler)
            raise StuckError("the audio system does not answer")
        if errors:
            raise errors[0]
        return results[0]
