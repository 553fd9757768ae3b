"""PortAudio, guarded against calls that never return, and the sound server's routing.

When a device goes, PulseAudio and its replacements move its streams without telling anybody. A stream whose
microphone was unplugged gets another source; without another microphone, the monitor of a loudspeaker: blocks
keep coming, with silence or the agent's own voice in them. Neither the age of the callbacks nor PortAudio's
device list shows that. The server's own list does; without `pactl`, which prints it, nothing is known.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from taste_agent.audio import devices
from taste_agent.audio.devices import Device, DeviceList, Direction
from taste_agent.errors import join_or_leave

ASK_LIMIT_S = 1.5
# Asking takes a process. A real microphone is never perfectly silent, so silence is a reason to ask.
ASK_EVERY_S, SILENT_AFTER_S, ASK_EVERY_SILENT_S = 10.0, 1.0, 3.0
MONITOR = ".monitor"
"""What a server appends to a sink's name for the source that hears what the sink plays."""
CALL_LIMIT_S = 4.0
# Under PulseAudio, PortAudio's buffer is one block longer than the requested latency.
LATENCY_BLOCKS: dict[Direction, int] = {"input": 3, "output": 2}
CALL_THREAD = "portaudio-call"
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Routes:
    """Names of the source that our capture reads and of the sink that we play on; None without a stream."""

    source: str | None = None
    sink: str | None = None


def hears_only_the_loudspeaker(routes: Routes | None) -> bool:
    """Return whether we capture what we play ourselves: then there is no microphone."""
    return routes is not None and routes.sink is not None and routes.source == routes.sink + MONITOR


def time_to_ask(since_asked_s: float, since_sound_s: float) -> bool:
    """Return whether to ask the server again; `since_sound_s` is how long the capture has been silent."""
    return since_asked_s >= (ASK_EVERY_SILENT_S if since_sound_s >= SILENT_AFTER_S else ASK_EVERY_S)


def ask_routes() -> Routes | None:
    """Return our routes; None if there is no sound server or it cannot be asked."""
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
            env={**os.environ, "LC_ALL": "C"},  # else some versions write numbers with a comma
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
    """A call into the audio system did not return in time; its stream was given up."""


class Stream:
    """An open stream, whose calls raise `StuckError` instead of never returning."""

    def __init__(self, stream: Any, in_time: Callable[[Callable[[], Any]], Any]) -> None:
        self._stream, self._in_time = stream, in_time

    @property
    def active(self) -> bool:
        """Whether it still calls back."""
        return bool(self._stream.active)

    def start(self) -> None:
        """Begin to call back."""
        self._in_time(self._stream.start)

    def close(self) -> None:
        """Stop and free it."""
        self._in_time(self._stream.close)


class PortAudioBackend:
    """The calls into PortAudio and the sound server that are needed; tests provide their own.

    A call about a device that vanishes at that moment, or to a sound server that hangs, can block forever.
    Such calls run in a thread of their own that is given up after `CALL_LIMIT_S`; from then on PortAudio is
    neither renewed nor shut down, because that would wait for the lost call or crash.
    """

    def __init__(self) -> None:
        self._stuck = False

    def list_devices(self) -> DeviceList:
        """Return all devices known now."""
        return devices.list_devices()

    def refresh(self) -> None:
        """Renew the list of devices; this ends every open stream. Do nothing after a call got stuck."""
        if not self._stuck:
            self._in_time(devices.refresh)

    def routes(self) -> Routes | None:
        """Return where the sound server has put our streams; None if unknown."""
        return ask_routes()

    def open(
        self, direction: Direction, device: Device, rate_hz: int, channels: int, block: int, callback: Any
    ) -> Stream:
        """Open a float32 stream without starting it; any exception means that this is not possible."""
        sounddevice = devices.portaudio()
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
        """Call into PortAudio; raise `StuckError` if that does not return in time."""
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
            atexit.unregister(devices.portaudio()._exit_handler)
            raise StuckError("the audio system does not answer")
        if errors:
            raise errors[0]
        return results[0]
