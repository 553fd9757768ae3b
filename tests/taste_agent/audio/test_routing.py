import json
import os
import subprocess

import pytest

from taste_agent.audio import routing
from taste_agent.audio.routing import Routes, ask_routes, hears_only_the_loudspeaker, routes_of, time_to_ask


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

        monkeypatch.setattr(routing.shutil, "which", lambda name: f"/bin/{name}")
        monkeypatch.setattr(routing.subprocess, "run", run)

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
    monkeypatch.setattr(routing.shutil, "which", lambda name: None)
    assert ask_routes() is None
