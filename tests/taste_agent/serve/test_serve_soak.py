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

from tests.taste_agent.fakes import RATE, FakeBrain
from tests.taste_agent.serve.serving import Serving, send, serving, type_text, until
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
        threading.Thread(target=count_cancelled, args=(connection, cancelled), daemon=True).start()
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


class Endless(list[str]):
    """Whatever is said is understood as the next text."""

    def __init__(self, texts: "itertools.repeat[str]") -> None:
        super().__init__()
        self._texts = texts

    def __len__(self) -> int:
        return 2**31

    def __getitem__(self, index: object) -> str:  # type: ignore[override]
        return next(self._texts)


def count_cancelled(connection: ClientConnection, cancelled: list[float]) -> None:
    try:
        for message in connection:
            event = json.loads(message)
            if event["type"] == "response.done" and event["response"]["status"] == "cancelled":
                cancelled.append(time.monotonic())
    except ConnectionClosed:
        return


def encoded(samples: np.ndarray) -> list[str]:
    """16 kHz sound as the protocol's chunks of a tenth of a second."""
    sound = (soxr.resample(samples, RATE, 24000) * 32767).astype("<i2").tobytes()
    return [base64.b64encode(sound[i : i + 4800]).decode() for i in range(0, len(sound), 4800)]
