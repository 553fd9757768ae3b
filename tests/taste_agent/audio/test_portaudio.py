"""Calls into PortAudio that never return: given up, and PortAudio is left alone from then on."""

import atexit
import json
import os
import subprocess
import threading
from types import SimpleNamespace

import pytest

from taste_agent.audio import devices
from taste_agent.audio.devices import (
    Device,
    PortAudioBackend,
    Routes,
    StuckError,
    ask_routes,
    hears_only_the_loudspeaker,
    routes_of,
    time_to_ask,
)
from tests.taste_agent.audio.conftest import renew_portaudio

DEVICE = Device(0, "mic", "Core", 1, 0, 48000)


class FakeSoundDevice(SimpleNamespace):
    """A PortAudio whose streams do in `start` what the test says; `calls` are those to the library itself."""

    def __init__(self, start):
        self.calls = []
        stream = SimpleNamespace(start=start, close=lambda: None, active=True)
        self.options = {}

        def open_stream(**options):
            self.options = options
            return stream

        super().__init__(
            InputStream=open_stream,
            OutputStream=open_stream,
            PortAudioError=RuntimeError,
            _initialize=lambda: self.calls.append("initialize"),
            _terminate=lambda: self.calls.append("terminate"),
            _exit_handler=lambda: self.calls.append("exit"),
        )


@pytest.fixture
def library(monkeypatch):
    monkeypatch.setattr(devices, "CALL_LIMIT_S", 0.05)

    def use(start):
        fake = FakeSoundDevice(start)
        monkeypatch.setattr(devices, "portaudio", lambda: fake)
        return fake

    return use


def opened(backend):
    return backend.open("input", DEVICE, 16000, 1, 320, None)


def test_a_call_that_returns_is_passed_through(library):
    fake = library(lambda: None)
    backend = PortAudioBackend()
    opened(backend).start()
    backend.refresh()
    assert fake.calls == ["terminate", "initialize"]


@pytest.mark.parametrize(("direction", "latency_s"), [("input", 0.06), ("output", 0.04)])
def test_the_loudspeaker_gets_less_latency_than_the_microphone(library, direction, latency_s):
    fake = library(lambda: None)
    PortAudioBackend().open(direction, DEVICE, 16000, 1, 320, None)
    assert fake.options["latency"] == pytest.approx(latency_s)
    assert fake.options["blocksize"] == 320


def test_an_error_of_the_call_is_passed_on(library):
    def fail():
        raise OSError("no such device")

    library(fail)
    with pytest.raises(OSError, match="no such device"):
        opened(PortAudioBackend()).start()


def test_a_call_that_never_returns_is_given_up_and_portaudio_is_not_ended(library, monkeypatch):
    returns = threading.Event()
    fake = library(returns.wait)
    unregistered = []
    monkeypatch.setattr(atexit, "unregister", unregistered.append)
    backend = PortAudioBackend()
    stream = opened(backend)
    try:
        with pytest.raises(StuckError, match="does not answer"):
            stream.start()
        backend.refresh()
        assert fake.calls == []
        assert unregistered == [fake._exit_handler]
    finally:
        returns.set()


def test_opening_and_renewing_are_given_up_too(library, monkeypatch):
    returns = threading.Event()
    fake = library(lambda: None)
    monkeypatch.setattr(atexit, "unregister", lambda handler: None)
    monkeypatch.setattr(devices, "refresh", returns.wait)
    backend = PortAudioBackend()
    try:
        with pytest.raises(StuckError):
            backend.refresh()
        fake.InputStream = lambda **options: returns.wait()
        with pytest.raises(StuckError):
            opened(backend)
    finally:
        returns.set()


def test_the_fixture_leaves_portaudio_alone_while_a_call_is_stuck(monkeypatch):
    sounddevice = pytest.importorskip("sounddevice")
    calls = []
    monkeypatch.setattr(sounddevice, "_terminate", lambda: calls.append("terminate"))
    monkeypatch.setattr(sounddevice, "_initialize", lambda: calls.append("initialize"))
    returns = threading.Event()
    thread = threading.Thread(target=returns.wait, name=devices.CALL_THREAD)
    thread.start()
    try:
        renew_portaudio(limit_s=0.2)
        assert calls == []
    finally:
        returns.set()
        thread.join()
    renew_portaudio(limit_s=0.2)
    assert calls == ["terminate", "initialize"]


def stream(device, key, process):
    return {"index": 9, key: device, "client": "3", "properties": {"application.process.id": str(process)}}


def listed(source=1, process=42):
    """As `pactl --format=json list` of PulseAudio 16 has it, as far as it is used."""
    return {
        "sinks": [{"index": 0, "name": "speaker", "monitor_source": "speaker.monitor"}],
        "sources": [
            {"index": 0, "name": "speaker.monitor", "monitor_source": "speaker"},
            {"index": 1, "name": "headset", "monitor_source": ""},
        ],
        "source_outputs": [stream(0, "source", 7), stream(source, "source", process)],
        "sink_inputs": [{"index": 8, "sink": 0, "properties": {}}, stream(0, "sink", process)],
    }


@pytest.mark.parametrize(("source", "name"), [(1, "headset"), (0, "speaker.monitor"), (4294967295, None)])
def test_routes_are_those_of_our_own_streams(source, name):
    assert routes_of(listed(source), 42) == Routes(name, "speaker")


def test_a_process_without_streams_has_no_routes():
    assert routes_of(listed(), 43) == Routes(None, None)


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        (Routes("speaker.monitor", "speaker"), True),
        (Routes("headset", "speaker"), False),
        (Routes("room.monitor", "speaker"), False),
        (Routes("speaker.monitor", None), False),
        (Routes(None, "speaker"), False),
        (Routes(None, None), False),
        (None, False),
    ],
)
def test_only_the_monitor_of_our_own_loudspeaker_is_no_microphone(routes, expected):
    assert hears_only_the_loudspeaker(routes) is expected


@pytest.mark.parametrize(
    ("since_asked_s", "since_sound_s", "due"),
    [(2.9, 60, False), (3.0, 60, True), (3.0, 0.9, False), (9.9, 0, False), (10.0, 0, True)],
)
def test_silence_is_a_reason_to_ask_sooner(since_asked_s, since_sound_s, due):
    assert time_to_ask(since_asked_s, since_sound_s) is due


@pytest.fixture
def answer(monkeypatch):
    """Sets what `pactl` does."""

    def set_answer(output=None, error=None):
        def run(command, **options):
            assert command[1:] == ["--format=json", "list"]
            assert options["timeout"] < 2
            assert options["env"]["LC_ALL"] == "C"
            if error is not None:
                raise error
            return subprocess.CompletedProcess(command, 0, output)

        monkeypatch.setattr(devices.shutil, "which", lambda name: f"/bin/{name}")
        monkeypatch.setattr(devices.subprocess, "run", run)

    return set_answer


def test_the_server_is_asked_about_this_process(answer):
    answer(json.dumps(listed(process=os.getpid())).encode())
    assert ask_routes() == Routes("headset", "speaker")


@pytest.mark.parametrize("output", [b"", b"[]", b"{}", b"no json", b'{"source_outputs": 3}'])
def test_an_answer_that_makes_no_sense_is_no_answer(answer, output):
    answer(output)
    assert ask_routes() is None


@pytest.mark.parametrize(
    "error",
    [
        OSError("no such file"),
        subprocess.TimeoutExpired("pactl", 1.5),
        subprocess.CalledProcessError(1, "pactl", b"", b"Connection refused"),
    ],
)
def test_a_server_that_cannot_be_asked_says_nothing(answer, error):
    answer(error=error)
    assert ask_routes() is None


def test_without_the_program_nothing_is_known(monkeypatch):
    monkeypatch.setattr(devices.shutil, "which", lambda name: None)
    assert ask_routes() is None
