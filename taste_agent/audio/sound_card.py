"""Opens microphone and loudspeaker, detects the loss of one, and reopens it by name."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import product
from typing import TypeVar

from taste_agent.audio.devices import (
    Device,
    Direction,
    PortAudioBackend,
    Stream,
    StuckError,
    find_device,
    hears_only_the_loudspeaker,
    time_to_ask,
)
from taste_agent.audio.streams import CaptureSide, PlaybackSide
from taste_agent.clock import ENGINE_RATE_HZ
from taste_agent.config import DeviceSettings
from taste_agent.errors import AudioDeviceError, join_or_leave

FADE_S = 0.008
WATCH_S = 0.1
WATCHER_LIMIT_S = 2.0
# A sound server may take seconds to wake up before blocks come regularly, even after running dry.
START_S = 5.0
FLOWING_CALLBACKS = 10
# A loudspeaker that runs dry this often between two checks will not recover until its blocks are longer:
# it consumes each refill at once.
DRY_FOR_GOOD, LONGER, MAX_BLOCK_MS = 10, 1.5, 100
# A device that was never there may appear, but nobody waits for it.
ABSENT_RETRY_S = 10.0
RENEW_AT_TRIES = frozenset(2**power - 1 for power in range(2, 20))
_WHAT: dict[Direction, str] = {"input": "microphone", "output": "loudspeaker"}
Notify = Callable[[str, str], None]
"""Takes a level (`info`, `warning` or `error`) and one line for the person."""
Side = TypeVar("Side", bound=CaptureSide | PlaybackSide)


def open_stream(
    backend: PortAudioBackend,
    device: Device,
    direction: Direction,
    block_ms: int,
    new_side: Callable[[int], Side],
) -> tuple[Stream, Side]:
    """Open and start `device` at the engine's rate or else its own, with one channel or else two.

    Args:
        backend, device, direction: the stream to open.
        block_ms: length of the blocks.
        new_side: makes the object that the stream calls back, for a rate in Hz.

    Raises:
        AudioDeviceError: no combination works; the message gives the first reason.
    """
    reasons: list[str] = []
    rates_hz = dict.fromkeys((ENGINE_RATE_HZ, device.default_rate_hz))
    for rate_hz, channels in product(rates_hz, dict.fromkeys((1, min(2, device.channels(direction))))):
        side = new_side(rate_hz)
        block = rate_hz * block_ms // 1000
        try:
            stream = backend.open(direction, device, rate_hz, channels, block, side.callback)
            _start(stream)
        except Exception as error:  # PortAudio's own errors, and those of whatever is behind it
            reasons.append(str(error))
            if isinstance(error, StuckError):  # further attempts would take as long
                break
            continue
        side.last_callback_s = time.monotonic()
        return stream, side
    reason = reasons[0] if reasons else "it has no channels"
    raise AudioDeviceError(
        f"{direction} device {device.name!r} cannot be opened: {reason}; "
        f"choose another with --{direction} (see `taste-agent devices`)"
    )


def _start(stream: Stream) -> None:
    try:
        stream.start()
    except StuckError:  # closing it would hang as well
        raise
    except Exception:
        with suppress(Exception):
            stream.close()  # a device that stays open refuses the next attempt
        raise


class SoundCard:
    """Both sides of the sound card; `capture` or `playback` is None while that side is lost.

    A thread watches the age of the callbacks, and whether the sound server has moved the capture to the
    loudspeaker's monitor. It closes a lost side, reopens it by its name, and renews PortAudio's device list
    if that does not help. Readers compare the side they know with the current one, and start over if it has
    changed.
    """

    def __init__(
        self, settings: DeviceSettings, notify: Notify, backend: PortAudioBackend | None = None
    ) -> None:
        self.capture: CaptureSide | None = None
        self.playback: PlaybackSide | None = None
        self.names: dict[Direction, str] = {"input": "", "output": ""}
        self._settings = settings
        self._notify = notify
        self._backend = backend or PortAudioBackend()
        self._block_ms = {"input": settings.block_ms, "output": settings.output_block_ms}
        self._seen_breaks = 0
        self._wanted: dict[Direction, str] = {"input": settings.input, "output": settings.output}
        self._streams: dict[Direction, Stream] = {}
        self._lost: set[Direction] = set()
        self._told: set[Direction] = set()
        self._absent: set[Direction] = set()
        """Lost sides that were never there."""
        self._next_try_s = self._asked_s = 0.0
        self._failed_tries = 0
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None

    @property
    def output_block_ms(self) -> int:
        """Length of the loudspeaker's blocks, which grows if it keeps running dry."""
        return self._block_ms["output"]

    def open(self, watch: bool = True) -> None:
        """Open both sides and start to watch them; a side that was not requested by name may be missing.

        Loading a model delays the callbacks by seconds; with `watch` False, call `watch()` after loading.

        Raises:
            AudioDeviceError: a named side cannot be opened, or neither side can.
        """
        errors: list[AudioDeviceError] = []
        for direction in ("output", "input"):
            try:
                self._open(direction, check_route=not self._wanted[direction])
            except AudioDeviceError as error:
                errors.append(error)
                if self._wanted[direction] or len(errors) == 2:
                    self._close_all()
                    raise errors[0 if len(errors) == 2 else -1] from None
                self._go_without(direction, error)
        if watch:
            self.watch()

    def _go_without(self, direction: Direction, error: AudioDeviceError) -> None:
        for sides in (self._lost, self._told, self._absent):
            sides.add(direction)
        self._notify("warning", f"no {_WHAT[direction]} here: {str(error).partition(';')[0]}")

    def watch(self) -> None:
        """Start the thread that detects lost sides."""
        for side in (self.capture, self.playback):
            if side is not None:
                side.last_callback_s = time.monotonic()
        self._watcher = threading.Thread(target=self._watch, name="sound-card", daemon=True)
        self._watcher.start()

    def _open(self, direction: Direction, check_route: bool = False) -> None:
        device = find_device(self._backend.list_devices(), self._wanted[direction], direction)
        stream, side = open_stream(
            self._backend,
            device,
            direction,
            self._block_ms[direction],
            lambda rate_hz: self._new_side(direction, rate_hz),
        )
        self._streams[direction] = stream
        if check_route and direction == "input" and hears_only_the_loudspeaker(self._backend.routes()):
            self._close(direction)
            raise AudioDeviceError("the sound server has no microphone now")
        self.names[direction] = device.name
        self._set_side(direction, side)

    def _new_side(self, direction: Direction, rate_hz: int) -> CaptureSide | PlaybackSide:
        latency_s = 2 * self._block_ms[direction] / 1000
        if direction == "input":
            return CaptureSide(rate_hz, latency_s)
        return PlaybackSide(
            rate_hz,
            prime_samples=rate_hz * self._settings.output_queue_ms // 1000,
            fade_samples=round(rate_hz * FADE_S),
            latency_s=latency_s,
        )

    def _set_side(self, direction: Direction, side: CaptureSide | PlaybackSide | None) -> None:
        if direction == "input":
            self.capture = side if isinstance(side, CaptureSide) else None
        else:
            self.playback = side if isinstance(side, PlaybackSide) else None

    def _watch(self) -> None:
        told = ""
        while not self._stopping.wait(WATCH_S):
            try:
                self.check(time.monotonic())
            except Exception as error:  # from PortAudio; the thread must survive to reopen devices
                if (text := f"checking the sound devices failed: {error}") != told:
                    told = text
                    self._notify("warning", text)

    def check(self, now_s: float) -> None:
        """Detect lost sides and, when due, try to reopen them; called by the watching thread."""
        for direction in ("input", "output"):
            if direction not in self._lost and self._is_dead(direction, now_s):
                self._lose(direction, now_s)
        if "input" not in self._lost and self._is_moved_away(now_s):
            self._lose("input", now_s)
        if "output" not in self._lost and self._is_dry_for_good():
            self._lengthen_blocks(now_s)
        if self._lost and now_s >= self._next_try_s:
            self._recover(now_s)

    def _is_dead(self, direction: Direction, now_s: float) -> bool:
        side = self.capture if direction == "input" else self.playback
        stream = self._streams.get(direction)
        if side is None or stream is None or not stream.active:
            return True
        lost_s = self._settings.lost_ms / 1000
        if side.callbacks < FLOWING_CALLBACKS:
            lost_s = max(lost_s, START_S)
        return now_s - side.last_callback_s > lost_s

    def _is_moved_away(self, now_s: float) -> bool:
        side = self.capture
        if side is None or not time_to_ask(now_s - self._asked_s, now_s - side.last_sound_s):
            return False
        self._asked_s = now_s
        return hears_only_the_loudspeaker(self._backend.routes())

    def _is_dry_for_good(self) -> bool:
        breaks = self.playback.breaks if self.playback else 0
        new, self._seen_breaks = breaks - self._seen_breaks, breaks
        return new >= DRY_FOR_GOOD and self._block_ms["output"] < MAX_BLOCK_MS

    def _lengthen_blocks(self, now_s: float) -> None:
        longer_ms = min(round(LONGER * self._block_ms["output"]), MAX_BLOCK_MS)
        self._block_ms["output"] = longer_ms
        self._close("output")
        self._notify("info", f"the loudspeaker kept running dry; its blocks are {longer_ms} ms long now")
        try:
            self._open("output")
        except AudioDeviceError:
            self._lose("output", now_s)

    def _lose(self, direction: Direction, now_s: float) -> None:
        self._lost.add(direction)
        self._tell_lost(direction)
        self._want_by_name(direction)
        self._next_try_s, self._failed_tries = now_s, 0
        self._close(direction)

    def _want_by_name(self, direction: Direction) -> None:
        """Use the full name, because a number or part of a name may mean another device after a change."""
        self._wanted[direction] = self._wanted[direction] and self.names[direction]

    def _tell_lost(self, direction: Direction) -> None:
        self._notify(
            "warning", f"{_WHAT[direction]} {self.names[direction]!r} is gone; you can type meanwhile"
        )
        self._told.add(direction)

    def _recover(self, now_s: float) -> None:
        tries, self._failed_tries = self._failed_tries, self._failed_tries + 1
        gone = self._lost - self._absent
        self._next_try_s = now_s + (self._settings.retry_s if gone else ABSENT_RETRY_S)
        # Less and less often, because it interrupts the side that still works.
        if (gone and tries in RENEW_AT_TRIES) or len(self._lost) == 2:
            self._renew_device_list()
        # Loudspeaker first: the check for a real microphone needs it.
        for direction in sorted(self._lost, reverse=True):
            try:
                self._open(direction, check_route=True)
            except AudioDeviceError:
                continue
            self._lost.discard(direction)
            if direction in self._told:
                self._told.discard(direction)
                state = "there" if direction in self._absent else "back"
                self._notify("info", f"{_WHAT[direction]} {self.names[direction]!r} is {state}")
            self._absent.discard(direction)
        for direction in sorted(self._lost - self._told):  # closed to renew the list, and now missing
            self._tell_lost(direction)

    def _renew_device_list(self) -> None:
        # Renewing ends all streams, so the healthy side is closed first and reopened.
        self._close_all()
        for direction in ("input", "output"):
            self._want_by_name(direction)
            self._lost.add(direction)
        self._backend.refresh()

    def _close(self, direction: Direction) -> None:
        self._set_side(direction, None)
        stream = self._streams.pop(direction, None)
        if stream is not None:
            try:
                stream.close()
            except Exception as error:
                self._notify("warning", f"closing the {direction} device failed: {error}")

    def _close_all(self) -> None:
        for direction in ("input", "output"):
            self._close(direction)

    def close(self) -> None:
        """Stop watching and close both sides; safe to call twice.

        If a device blocks the watching thread, the sides stay open, because the thread uses them.
        """
        self._stopping.set()
        watcher, self._watcher = self._watcher, None
        if watcher is None or join_or_leave(watcher, WATCHER_LIMIT_S):
            self._close_all()
