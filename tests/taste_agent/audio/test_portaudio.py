"""Calls into PortAudio that never return: given up, and PortAudio is left alone from then on."""

import atexit
import threading
from types import SimpleNamespace

import pytest

from taste_agent.audio import devices, portaudio
from taste_agent.audio.devices import Device
from taste_agent.audio.portaudio import PortAudioBackend, StuckError
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
    monkeypatch.setattr(portaudio, "CALL_LIMIT_S", 0.05)

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
    thread = threading.Thread(target=returns.wait, name=portaudio.CALL_THREAD)
    thread.start()
    try:
        renew_portaudio(limit_s=0.2)
        assert calls == []
    finally:
        returns.set()
        thread.join()
    renew_portaudio(limit_s=0.2)
    assert calls == ["terminate", "initialize"]
