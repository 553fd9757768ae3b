"""A client of the protocol without a socket: a conversation with a scripted brain, its clock set."""

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import soxr

from taste_agent.config import AgentSettings
from taste_agent.dialog.worker import CostMeter
from taste_agent.events import Event
from taste_agent.serve.audio_format import codec
from taste_agent.serve.limits import Limits
from taste_agent.serve.mind import Memory, Mind, MindWorker, ModelFacts, Tokens, Usage
from taste_agent.serve.realtime import Realtime, Surroundings
from taste_agent.session.engine import Session
from taste_agent.session.runner import VirtualRunner
from tests.taste_agent.fakes import RATE, FakeBrain, settings

FACTS = ModelFacts("fake", ("anna", "bert"))


def words_of(segment: Any) -> Tokens:
    """A fake segment is its text, remembered with its role; each of its words is one token."""
    count = len((segment if isinstance(segment, str) else segment[1]).split())
    return Tokens(count, count)


def mind_of(brain: FakeBrain) -> Mind:
    return Mind(
        brain, Memory(lambda: [*brain.history, *brain._open], words_of, lambda s: s[0] == "assistant")
    )


class VirtualEngine:
    """A session on the virtual clock."""

    def __init__(
        self, brain: FakeBrain, own: AgentSettings, emit: Callable[[Event], None], speaks: bool
    ) -> None:
        meter = CostMeter(own.replay.compute_time, own.replay.fixed)
        self.mind = mind_of(brain)
        self.worker = MindWorker(self.mind, own, meter, speaks)
        self.session = Session(own, VirtualRunner(self.worker, meter), emit, speaks=speaks)

    def do(self, job: Any) -> None:
        self.session.process(np.zeros(self.session.frame_samples, np.float32))  # what was asked for before
        job(self.worker, self.mind)

    def usage(self, generation: int) -> Usage:
        return self.mind.usage


class Client:
    """Sends events and keeps what comes back; `now_s` goes on as sound is sent or waited for."""

    def __init__(self, brain: FakeBrain, *overrides: str, limits: Limits | None = None) -> None:
        self.brain, self.events, self.now_s, self.name = brain, [], 0.0, "audio/pcm"
        self.settings_in_use: list[AgentSettings] = []
        base = settings(*overrides)

        def open_engine(own: AgentSettings, emit: Callable[[Event], None], speaks: bool) -> VirtualEngine:
            self.settings_in_use.append(own)
            return VirtualEngine(brain, own, emit, speaks)

        around = Surroundings(base, FACTS, open_engine, limits or Limits())
        self.realtime = Realtime(around, self.events.append, self.now_s)

    def send(self, kind: str, **fields: Any) -> list[dict[str, Any]]:
        """Sends an event; returns what came of it."""
        return self.send_text(json.dumps({"type": kind, **fields}))

    def send_text(self, text: str) -> list[dict[str, Any]]:
        before = len(self.events)
        self.realtime.receive(text, self.now_s)
        return self.events[before:]

    def say(self, samples: np.ndarray, chunk_s: float = 0.1, passes: bool = True) -> None:
        """Sends 16 kHz sound in chunks, at its own pace."""
        for sound in self.encoded(samples, chunk_s):
            self.now_s += chunk_s if passes else 0
            self.send("input_audio_buffer.append", audio=base64.b64encode(sound).decode())
            self.realtime.advance(self.now_s)

    def encoded(self, samples: np.ndarray, chunk_s: float) -> list[bytes]:
        form = codec(self.name)
        sound = form.encode(soxr.resample(samples, RATE, form.rate_hz).astype(np.float32))
        size = round(chunk_s * form.rate_hz) * form.bytes_per_sample
        return [sound[i : i + size] for i in range(0, len(sound), size)]

    def wait(self, seconds: float = 60.0, until: str = "") -> None:
        """Lets time pass without sending anything, until an event comes or nothing is owed."""
        end_s, seen = self.now_s + seconds, len(self.events)
        while self.now_s < end_s:
            self.now_s += 0.02
            self.realtime.advance(self.now_s)
            if until and until in self.kinds[seen:]:
                return
            if not until and not self.realtime.busy:
                return

    def type(self, text: str) -> list[dict[str, Any]]:
        content = [{"type": "input_text", "text": text}]
        return self.send(
            "conversation.item.create", item={"type": "message", "role": "user", "content": content}
        )

    @property
    def kinds(self) -> list[str]:
        return [event["type"] for event in self.events]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    def sound(self) -> np.ndarray:
        """All sound that came, at 24 or 8 kHz."""
        parts = [base64.b64decode(event["delta"]) for event in self.of("response.output_audio.delta")]
        return codec(self.name).decode(b"".join(parts))


def error_of(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The one error among events."""
    (error,) = [event["error"] for event in events if event["type"] == "error"]
    return error
