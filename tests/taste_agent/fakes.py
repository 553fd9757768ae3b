"""Stand-ins for a model: what is heard and said is written in the test."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from taste_agent.config import AgentSettings
from taste_agent.config.sources import load_settings
from taste_agent.dialog.brain import ReplyItem, Sound
from taste_agent.dialog.echo_gate import EchoGate
from taste_agent.dialog.worker import CostMeter, DialogWorker
from taste_agent.events import Event
from taste_agent.session.engine import Session
from taste_agent.session.runner import VirtualRunner
from taste_speech.recognition.base import Recognition, RecognizedWord
from taste_speech.words import Word

RATE = 16000
WORD_SAMPLES = 6400
"""A fake word lasts 0.4 s."""


class ScriptedRecognizer:
    """Understands the n-th piece as the n-th text; partial results grow by one word per 0.4 s.

    `finished` is how finished everything sounds.
    """

    def __init__(self, texts: list[str]) -> None:
        self.texts = list(texts)
        self.accepted: list[int] = []
        self.finished: float | None = None
        self._piece = -1

    def start(self) -> None:
        self._piece += 1
        self.accepted.append(0)

    def accept(self, samples: np.ndarray) -> None:
        self.accepted[-1] += len(samples)

    def partial(self) -> str:
        return " ".join(self._text().split()[: self.accepted[-1] // WORD_SAMPLES])

    def finish(self) -> Recognition:
        words = self._text().split()
        said = tuple(RecognizedWord(word) for word in words)
        return Recognition(" ".join(words), said, finished=self.finished)

    def _text(self) -> str:
        return self.texts[self._piece] if self._piece < len(self.texts) else ""


@dataclass
class FakeBrain:
    """Replies with the n-th text to the n-th question (None: nothing); `history` is what was settled."""

    heard: list[str] = field(default_factory=list)
    replies: list[str | None] = field(default_factory=list)
    probabilities: list[float | None] = field(default_factory=list)
    words_per_item: int = 2
    notices: tuple[str, ...] = ()
    history: list[tuple[str, str]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.scripted = ScriptedRecognizer(self.heard)
        self._open: list[str] = []
        self._said: list[str] = []
        self._text: list[str] = []
        self._before: list[str] = []
        self._spoken_samples = 0

    def recognizer(self) -> ScriptedRecognizer:
        return self.scripted

    def tokenize(self, text: str, samples: np.ndarray) -> list[str]:
        assert len(samples) < 30 * RATE
        return [text]

    def text_segment(self, text: str) -> str:
        return text

    def prefill(self, segments: list[Any]) -> float | None:
        self.log.append(f"prefill {' | '.join(segments)}")
        self._open = list(segments)
        answered = sum(role == "user" for role, _ in self.history)
        return self.probabilities[min(answered, len(self.probabilities) - 1)] if self.probabilities else None

    def reply(self) -> Iterator[ReplyItem]:
        text = self.replies.pop(0) if self.replies else "i do not know"
        self._answer = text
        self._text, self._before = (text or "").split(), []
        return self._items()

    def take_back(self) -> None:
        self.log.append("take back")
        self.replies.insert(0, self._answer)
        self._said, self._spoken_samples = [], 0

    def go_on(self) -> Iterator[ReplyItem]:
        self.log.append("go on")
        self._before = self.history.pop()[1].split()
        return self._items()

    def _items(self) -> Iterator[ReplyItem]:
        self._said, self._spoken_samples = [], 0
        words = self._text[len(self._before) :]
        if not words:
            yield ReplyItem((), True, "finished")
        for i in range(0, len(words), self.words_per_item):
            part = words[i : i + self.words_per_item]
            self._said += part
            last = i + self.words_per_item >= len(words)
            yield ReplyItem(tuple(Word(w, ids=(0,)) for w in part), last, "finished" if last else "speaking")

    def speak(self, item: ReplyItem) -> Sound:
        start = self._spoken_samples
        self._spoken_samples += WORD_SAMPLES * len(item.words)
        time = np.arange(start, self._spoken_samples) / RATE
        samples = (0.3 * np.sin(2 * np.pi * 220 * time)).astype(np.float32)
        words = tuple(replace(w, end=start + (i + 1) * WORD_SAMPLES) for i, w in enumerate(item.words))
        return Sound(samples, words)

    def settle(self, heard_words: int) -> None:
        self.log.append(f"settle {heard_words}")
        self.history += [("user", text) for text in self._open]
        self.history.append(("assistant", " ".join([*self._before, *self._said[:heard_words]])))
        self._open = []

    def discard(self) -> None:
        self._open = []

    def forget(self, segments: Any) -> None:
        self.discard()
        self.history = [kept for kept in self.history if not any(kept is gone for gone in segments)]


@dataclass
class Outcome:
    """What a session did."""

    events: list[Event]
    audio: np.ndarray
    brain: FakeBrain

    def of(self, kind: type[Any]) -> list[Any]:
        """Events of a type."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def kinds(self) -> list[str]:
        """Kinds of the events, in order, without those that come with every word or chunk."""
        noise = {"word_heard", "reply_chunk", "partial_heard", "session_started", "session_ended"}
        return [event.kind for event in self.events if event.kind not in noise]


def settings(*overrides: str) -> AgentSettings:
    """Settings with fixed costs on the virtual clock."""
    return load_settings(overrides=("replay.compute_time=fixed", *overrides), environment={}).settings


def run_session(
    audio: np.ndarray,
    brain: FakeBrain,
    *overrides: str,
    block_samples: int = 1000,
    tail_s: float = 30.0,
    actions: dict[int, Callable[[Session], None]] | None = None,
    gate: EchoGate | None = None,
) -> Outcome:
    """Runs 16 kHz audio, then silence until the session is idle; actions happen before their sample."""
    config = settings(*overrides)
    events: list[Event] = []
    meter = CostMeter(config.replay.compute_time, config.replay.fixed)
    runner = VirtualRunner(DialogWorker(brain, config, meter, gate=gate), meter)
    session = Session(config, runner, events.append)
    out = []
    limit = len(audio) + int(tail_s * RATE)
    todo = sorted((actions or {}).items())
    while session.now < limit:
        position = session.now + len(session._partial_frame)
        if position >= len(audio) and session.idle:
            break
        end = position + block_samples
        while todo and todo[0][0] < end:
            todo.pop(0)[1](session)
        block = audio[position:end]
        block = np.concatenate([block, np.zeros(block_samples - len(block), np.float32)])
        out.append(session.process(block))
    session.close()
    return Outcome(events, np.concatenate(out), brain)
