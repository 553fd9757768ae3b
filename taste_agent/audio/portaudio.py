"""PortAudio behind a small interface, guarded against calls of it that never return."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from taste_agent.audio import devices
from taste_agent.audio.devices import Device, DeviceList, Direction
from taste_agent.audio.routing import Routes, ask_routes
from taste_agent.endings import join_or_leave

CALL_LIMIT_S = 4.0
# Under PulseAudio, PortAudio's buffer is one block longer than the latency that it is asked for.
LATENCY_BLOCKS: dict[Direction, int] = {"input": 3, "output": 2}
CALL_THREAD = "portaudio-call"
Result = TypeVar("Result")


class StuckError(RuntimeError):
    """A call into the audio system did not return in time; its stream was given up."""


class Stream(Protocol):
    """An open stream."""

    @property
    def active(self) -> bool:
        """Whether it still calls back."""

    def start(self) -> None:
        """Begin to call back."""

    def close(self) -> None:
        """Stop and free it."""


class Backend(Protocol):
    """What is needed from PortAudio; tests give their own."""

    def list_devices(self) -> DeviceList:
        """All devices known now."""

    def refresh(self) -> None:
        """Look for devices anew; ends every open stream."""

    def routes(self) -> Routes | None:
        """Where the sound server has put our streams; None where it does not say."""

    def open(
        self, direction: Direction, device: Device, rate_hz: int, channels: int, block: int, callback: Any
    ) -> Stream:
        """Open a stream that is not yet started; any exception says that this is not possible."""


class PortAudioBackend:
    """The real one.

    A call about a device that vanishes at that moment, or a sound server that hangs, can block for ever.
    Such calls run in a thread of their own that is given up after `CALL_LIMIT_S`; from then on PortAudio is
    neither renewed nor shut down, since that would wait for the lost call or crash.
    """

    def __init__(self) -> None:
        """Nothing is opened yet."""
        self._stuck = False

    def list_devices(self) -> DeviceList:
        """All devices known now."""
        return devices.list_devices()

    def refresh(self) -> None:
        """Look for devices anew; ends every open stream. Does nothing after a call got stuck."""
        if not self._stuck:
            self._in_time(devices.refresh)

    def routes(self) -> Routes | None:
        """Where the sound server has put our streams; None where it does not say."""
        return ask_routes()

    def open(
        self, direction: Direction, device: Device, rate_hz: int, channels: int, block: int, callback: Any
    ) -> Stream:
        """Open a float32 stream with the latency of `LATENCY_BLOCKS`."""
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
        return _GuardedStream(stream, self._in_time)

    def _in_time(self, function: Callable[[], Result]) -> Result:
        """Call into PortAudio; `StuckError` where that does not return."""
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


class _GuardedStream:
    def __init__(self, stream: Any, in_time: Callable[[Callable[[], Any]], Any]) -> None:
        self._stream = stream
        self._in_time = in_time

    @property
    def active(self) -> bool:
        return bool(self._stream.active)

    def start(self) -> None:
        self._in_time(self._stream.start)

    def close(self) -> None:
        self._in_time(self._stream.close)
