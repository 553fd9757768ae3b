"""The server under load and for long: loopback only, bounded, with scripted brains."""

import base64
import itertools
import json
import os
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soxr
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection

from taste_agent.serve.access import Access
from taste_agent.serve.limits import Limits
from taste_agent.serve.mind import load_served_model
from taste_agent.serve.server import Service, measured
from tests.taste_agent.fakes import RATE, FakeBrain, settings
from tests.taste_agent.serve.serving import Serving, carried, send, serving, type_text, until
from tests.taste_agent.speech import silence, spoken, track

pytestmark = pytest.mark.soak

MINUTES = float(os.environ.get("TASTE_SOAK_MINUTES", "30"))
STORY = " ".join(f"word{index}" for index in range(100))


def memory_mb() -> float:
    """Resident memory of this process, server and clients."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_two_hundred_connections_a_second_for_ten_seconds() -> None:
    """Those who talk are unharmed, everybody else is refused in words, and memory is back afterwards."""
    with (
        serving(lambda: FakeBrain(replies=["rome"] * 9), max_sessions=1) as server,
        server.connect() as talker,
    ):
        until(talker, "session.created")
        answered(talker)
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda _: refused(server), range(100)))  # what is made at first use is made
            before_mb, outcomes, began_s = memory_mb(), Counter(), time.monotonic()
            for outcome in pool.map(lambda number: refused(server, began_s + number / 200), range(2000)):
                outcomes[outcome] += 1
                if outcomes.total() % 500 == 0:
                    answered(talker)
        answered(talker)
        assert set(outcomes) == {"session_limit_exceeded"}
        assert len(server.reception.talks) == 1
        assert memory_mb() < 1.05 * before_mb


def refused(server: Serving, not_before_s: float = 0.0) -> str:
    """Connects and says why it was not let in."""
    time.sleep(max(0.0, not_before_s - time.monotonic()))
    try:
        with server.connect() as connection:
            return str(json.loads(connection.recv(timeout=60))["error"]["code"])
    except (ConnectionClosed, InvalidHandshake, OSError, TimeoutError) as error:
        return type(error).__name__


def answered(connection: ClientConnection) -> None:
    type_text(connection, "hello")
    assert until(connection, "response.done", 60)[-1]["response"]["status"] == "completed"


def test_a_client_that_does_not_read_harms_nobody() -> None:
    with serving(lambda: FakeBrain(replies=[STORY, "rome", "rome"])) as server, server.connect() as other:
        with server.connect(max_queue=1) as silent:
            type_text(silent, "tell me a story")
            for _ in range(2):
                answered(other)
                time.sleep(2)
        assert server.reception.talks


def test_memory_stays_where_it_is_while_people_interrupt() -> None:
    """A story, spoken over every 20 s."""
    minutes = max(MINUTES, 3)
    questions = itertools.repeat("tell me another story please")
    brain = FakeBrain(replies=[STORY] * 10_000)
    brain.scripted.texts = Endless(questions)
    with serving(lambda: brain, max_sessions=1) as server, server.connect(max_queue=None) as connection:
        cancelled: list[float] = []
        threading.Thread(target=count_done, args=(connection, cancelled, "cancelled"), daemon=True).start()
        round_of_20_s = track(spoken("tell me another story please"), silence(20.0))[: 20 * RATE]
        chunks = encoded(round_of_20_s)
        began_s, sent, figures = time.monotonic(), 0, []
        while sent < minutes * 600:
            send(connection, "input_audio_buffer.append", audio=chunks[sent % len(chunks)])
            sent += 1
            if sent % 600 == 0:
                figures.append(memory_mb())
            time.sleep(max(0.0, began_s + sent / 10 - time.monotonic()))
    assert len(cancelled) > 2 * minutes, (cancelled, figures)
    settled = figures[len(figures) // 10 + 1]
    assert figures[-1] < 1.05 * settled, figures


def test_as_many_as_it_says_talk_for_a_minute_without_a_gap() -> None:
    own = settings("replay.compute_time=measured")
    model = load_served_model(own)
    found = measured(model, own)
    if found.sessions == 0:
        pytest.skip(f"this machine is too slow, or too busy: {found}")
    service = Service(model, own, Access("127.0.0.1"), Limits(), found.sessions)
    chunks = encoded(track(silence(0.5), spoken("what is the capital of italy"), silence(8.0)))
    with carried(service) as server, ThreadPoolExecutor(found.sessions) as pool:
        talks = [pool.submit(talk_for, server, chunks, 60.0) for _ in range(found.sessions)]
        time.sleep(5)
        assert refused(server) == "session_limit_exceeded"
        assert all(talk.result() >= 5 for talk in talks)
        assert "taste_underruns_total 0.0" in service.reception.metrics.text().decode()


def talk_for(server: Serving, chunks: list[str], seconds: float) -> int:
    """Asks again and again; returns how many answers came."""
    done: list[float] = []
    with server.connect(max_queue=None) as connection:
        threading.Thread(target=count_done, args=(connection, done, "completed"), daemon=True).start()
        began_s = time.monotonic()
        for number in range(round(10 * seconds)):
            send(connection, "input_audio_buffer.append", audio=chunks[number % len(chunks)])
            time.sleep(max(0.0, began_s + (number + 1) / 10 - time.monotonic()))
    return len(done)


class Endless(list[str]):
    """Whatever is said is understood as the next text."""

    def __init__(self, texts: "itertools.repeat[str]") -> None:
        super().__init__()
        self._texts = texts

    def __len__(self) -> int:
        return 2**31

    def __getitem__(self, index: object) -> str:  # type: ignore[override]
        return next(self._texts)


def count_done(connection: ClientConnection, done: list[float], status: str) -> None:
    try:
        for message in connection:
            event = json.loads(message)
            if event["type"] == "response.done" and event["response"]["status"] == status:
                done.append(time.monotonic())
    except ConnectionClosed:
        return


def encoded(samples: np.ndarray) -> list[str]:
    """16 kHz sound as the protocol's chunks of a tenth of a second."""
    sound = (soxr.resample(samples, RATE, 24000) * 32767).astype("<i2").tobytes()
    return [base64.b64encode(sound[i : i + 4800]).decode() for i in range(0, len(sound), 4800)]
