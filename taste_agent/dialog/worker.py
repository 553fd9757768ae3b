"""Runs commands on a model in bounded steps and measures their cost; no threads, no clocks."""

import logging
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from taste_agent.audio.ports import Samples
from taste_agent.clock import ENGINE_RATE_HZ, samples_of_ms, seconds_of_samples
from taste_agent.config import AgentSettings, FixedCosts
from taste_agent.dialog import messages as m
from taste_agent.dialog.brain import Brain, ReplyItem, Sound
from taste_agent.dialog.echo_gate import EchoGate
from taste_speech.errors import TasteError
from taste_speech.recognition.base import Recognition
from taste_speech.words import Word

logger = logging.getLogger(__name__)

CostKind = Literal["recognize_per_s", "recognize_end", "tokenize", "prefill", "word", "detokenize"]
_EXPLAINED = (TasteError, ValueError)
"""Errors with a text for people."""
_MAX_SEGMENT_SAMPLES = 29 * ENGINE_RATE_HZ
"""The audio tower takes less than 30 s."""
_PARTIAL_SHARE = 0.25
"""Largest share of the time for partial recognition, which must not delay other work."""
_NOT_ASKED = 0
"""Generation of a reply that nobody has asked for."""
_NO_SOUND = np.zeros(0, np.float32)


@dataclass(slots=True)
class Cost:
    """Cost of one measured block; 0 until it ends."""

    amount: float
    ms: float = 0.0


class CostMeter:
    """Adds up what computing costs on the session's clock: measured, from a table, or nothing."""

    def __init__(
        self, mode: Literal["measured", "fixed", "zero"] = "measured", table: FixedCosts | None = None
    ) -> None:
        self._mode = mode
        self._table = table or FixedCosts()
        self._total_ms = 0.0

    @contextmanager
    def measure(self, kind: CostKind, amount: float = 1.0) -> Iterator[Cost]:
        """Time a block; a figure from the table is multiplied by `amount` (seconds of audio, words)."""
        cost = Cost(amount)
        started_s = time.perf_counter()
        yield cost
        if self._mode == "measured":
            cost.ms = (time.perf_counter() - started_s) * 1000
        elif self._mode == "fixed":
            cost.ms = float(getattr(self._table, f"{kind}_ms")) * cost.amount
        self._total_ms += cost.ms

    def take_ms(self) -> float:
        """Return the cost since the last call."""
        total, self._total_ms = self._total_ms, 0.0
        return total


@dataclass(slots=True)
class _PieceAudio:
    start: int
    blocks: list[Samples] = field(default_factory=list)
    samples: int = 0
    since_partial: int = 0
    partial_after: int = 0
    """Samples after which the next partial recognition may run."""
    text: str = ""
    failed: bool = False
    """Whether the recognizer failed on it; the rest is ignored then."""


@dataclass(slots=True)
class _RunningReply:
    generation: int
    items: Generator[ReplyItem, None, None]
    tokenize_ms: float
    prefill_ms: float
    text: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Ahead:
    """A reply started before it was asked for, and its first chunk; None once it was asked for."""

    reply: _RunningReply | None
    results: list[m.Spoken | m.Generated] = field(default_factory=list)


class DialogWorker:
    """Executes commands on a `Brain`; while it is `working`, call `continue_reply` between commands.

    After reading a turn that the model would answer, it generates the first chunk of the answer ahead of the
    decision. If the person continues instead, that chunk is undone without a trace.
    """

    def __init__(
        self,
        brain: Brain,
        settings: AgentSettings,
        meter: CostMeter,
        speaks: bool = True,
        gate: EchoGate | None = None,
    ) -> None:
        """Measure costs with `meter`; with `speaks` False, replies are words without sound.

        Recognized text passes through `gate`.
        """
        self._brain = brain
        self._meter = meter
        self._speaks = speaks
        self._gate = gate or EchoGate()
        self._recognizer = brain.recognizer()
        self._partial_every = samples_of_ms(settings.recognition.partial_every_ms)
        self._holds = settings.emit.hold_while_person_speaks
        self._pieces: dict[int, _PieceAudio] = {}
        self._open: int | None = None
        self._prepared: m.Prepared | None = None
        self._reply: _RunningReply | None = None
        self._ahead: _Ahead | None = None
        self._answered: tuple[int, ...] = ()

    @property
    def replying(self) -> bool:
        """Whether a running reply is to be continued now."""
        return self._reply is not None and not (self._holds and self._open is not None)

    @property
    def working(self) -> bool:
        """Whether there is something to generate now, of a reply or ahead of one."""
        return self.replying or self._may_think_ahead

    @property
    def _may_think_ahead(self) -> bool:
        if self._reply is not None or self._prepared is None or self._ahead or self._open is not None:
            return False
        probability = self._prepared.speaking_probability
        return probability is None or probability > m.ITS_TURN

    def execute(self, command: m.Command, behind: bool = False) -> list[m.Result]:
        """Execute a command; errors that a person can understand become `Failed`.

        A piece on which the recognizer failed is closed as empty, because its result is waited for. With
        `behind` more commands are waiting, and partial recognition is skipped.
        """
        try:
            return self._execute(command, behind)
        except _EXPLAINED as error:
            failed = self._failed(command.generation if isinstance(command, m.ReplyCommand) else None, error)
            if isinstance(command, m.Hear):
                self._pieces[command.piece].failed = True
            return [failed, _as_nothing(command.piece)] if isinstance(command, m.ClosePiece) else [failed]

    def continue_reply(self) -> list[m.Result]:
        """Generate and speak the next chunk of the running reply, or the first chunk ahead of one."""
        reply = self._reply
        if reply is None:
            if self._may_think_ahead:
                self._think_ahead()
            return []
        try:
            return list(self._next_chunk(reply))
        except _EXPLAINED as error:
            return [self._failed(reply.generation, error)]

    def _failed(self, generation: int | None, error: Exception) -> m.Failed:
        """Return the message for an error; only an error with a generation ends the running reply."""
        logger.debug("a dialog step failed", exc_info=error)
        if generation is not None:
            self._stop_reply()
        return m.Failed(generation, " ".join(str(error).split()))

    def _execute(self, command: m.Command, behind: bool) -> list[m.Result]:
        match command:
            case m.Hear():
                return self._hear(command, behind)
            case m.ClosePiece(piece):
                return [self._close(piece)]
            case m.Prepare(pieces):
                return [self._prepare(pieces)]
            case m.Answer(generation, pieces):
                return self._answer(generation, pieces)
            case m.AnswerText(generation, text):
                self._begin_exchange()
                with self._meter.measure("prefill") as prefill:
                    self._brain.prefill([self._brain.text_segment(text)])
                self._reply = _RunningReply(generation, self._brain.reply(), 0.0, prefill.ms)
            case m.GoOn(generation):
                self._begin_exchange()
                with self._meter.measure("prefill") as prefill:
                    items = self._brain.go_on()
                self._reply = _RunningReply(generation, items, 0.0, prefill.ms)
            case m.Settle(_, heard_words):
                self._settle(heard_words)
            case m.Drop(pieces):
                self._forget(pieces)
        return []

    def _hear(self, heard: m.Hear, behind: bool) -> list[m.Result]:
        number, samples = heard.piece, heard.samples
        piece = self._pieces.get(number)
        with self._meter.measure("recognize_per_s", seconds_of_samples(len(samples))) as cost:
            if piece is None:
                piece = self._pieces[number] = _PieceAudio(heard.start, partial_after=self._partial_every)
                self._open = number
                self._recognizer.start()
            if piece.failed:
                return []
            piece.blocks.append(samples)
            piece.samples += len(samples)
            piece.since_partial += len(samples)
            self._recognizer.accept(samples)
            due = self._partial_every and piece.since_partial >= piece.partial_after
            # In a pause it would only delay the recognition of the whole piece.
            if not due or heard.silent or behind:
                return []
            piece.since_partial = 0
            text, echo = self._gate.partial(self._recognizer.partial(), piece.start, piece.samples)
        piece.partial_after = max(self._partial_every, samples_of_ms(cost.ms / _PARTIAL_SHARE))
        return [m.Partial(number, text, piece.start + piece.samples, echo)]

    def _close(self, number: int) -> m.Recognized:
        piece = self._pieces[number]
        self._open = None
        if piece.failed:
            return _as_nothing(number)
        with self._meter.measure("recognize_end") as cost:
            recognition, echo = self._gate.filter(self._recognizer.finish(), piece.start, piece.samples)
        piece.text = recognition.text.strip()
        confidences = [word.confidence for word in recognition.words if word.confidence is not None]
        confidence = float(np.mean(confidences)) if confidences else 1.0
        words = _timed_words(recognition, piece)
        return m.Recognized(number, piece.text, words, confidence, cost.ms, echo, recognition.finished)

    def _begin_exchange(self) -> None:
        if self._ahead is not None and self._ahead.reply is not None:
            self._ahead.reply.items.close()
            self._brain.take_back()
        self._ahead = self._prepared = None
        self._brain.discard()

    def _prepare(self, pieces: tuple[int, ...]) -> m.Prepared:
        if self._prepared is not None and self._prepared.pieces == pieces:
            return self._prepared
        self._begin_exchange()
        with self._meter.measure("tokenize") as tokenize:
            segments = [segment for part in self._parts(pieces) for segment in self._brain.tokenize(*part)]
        with self._meter.measure("prefill") as prefill:
            probability = self._brain.prefill(segments)
        self._prepared = m.Prepared(pieces, probability, tokenize.ms, prefill.ms)
        return self._prepared

    def _parts(self, pieces: tuple[int, ...]) -> Iterator[tuple[str, Samples]]:
        """Yield text and audio of the pieces, joined into as few segments as the audio tower allows."""
        groups: list[list[_PieceAudio]] = []
        for piece in (self._pieces[number] for number in pieces):
            if groups and sum(p.samples for p in groups[-1]) + piece.samples <= _MAX_SEGMENT_SAMPLES:
                groups[-1].append(piece)
            else:
                groups.append([piece])
        for group in groups:
            samples = np.concatenate([block for piece in group for block in piece.blocks])
            yield " ".join(piece.text for piece in group if piece.text), samples

    def _think_ahead(self) -> None:
        """Generate the first chunk of the answer; errors are reported when the answer is asked for."""
        reply = _RunningReply(_NOT_ASKED, self._brain.reply(), 0.0, 0.0)
        try:
            self._ahead = _Ahead(reply, self._next_chunk(reply))
        except _EXPLAINED as error:
            logger.debug("thinking ahead failed", exc_info=error)
            reply.items.close()
            self._brain.take_back()
            self._ahead = _Ahead(None)

    def _answer(self, generation: int, pieces: tuple[int, ...]) -> list[m.Result]:
        was_ready = self._prepared is not None and self._prepared.pieces == pieces
        prepared = self._prepare(pieces)
        self._answered = pieces
        ahead, self._ahead = self._ahead, _Ahead(None)  # once
        if ahead is not None and ahead.reply is not None:
            ahead.reply.generation = generation
            results = [replace(result, generation=generation) for result in ahead.results]
            complete = any(isinstance(result, m.Generated) for result in results)
            self._reply = None if complete else ahead.reply
            return list(results)
        costs = (0.0, 0.0) if was_ready else (prepared.tokenize_ms, prepared.prefill_ms)
        self._reply = _RunningReply(generation, self._brain.reply(), *costs)
        return []

    def _next_chunk(self, reply: _RunningReply) -> list[m.Spoken | m.Generated]:
        with self._meter.measure("word") as generate:
            item = next(reply.items)
            generate.amount = len(item.words)
        results: list[m.Spoken | m.Generated] = []
        if item.words or (item.complete and reply.text):
            with self._meter.measure("detokenize", bool(item.words)) as detokenize:
                sound = self._brain.speak(item) if self._speaks else Sound(_NO_SOUND, item.words)
            reply.text += [word.text for word in item.words]
            costs = (reply.tokenize_ms, reply.prefill_ms, generate.ms, detokenize.ms)
            results.append(m.Spoken(reply.generation, sound.samples, sound.words, *costs))
            reply.tokenize_ms = reply.prefill_ms = 0.0
        if item.complete:
            text = " ".join(word.strip() for word in reply.text if word.strip())
            results.append(m.Generated(reply.generation, item.reason, text))
            self._reply = None
        return results

    def _stop_reply(self) -> None:
        reply, self._reply = self._reply, None
        if reply is not None:
            reply.items.close()

    def _settle(self, heard_words: int) -> None:
        self._stop_reply()
        self._ahead = self._prepared = None
        if heard_words == 0:
            self._brain.discard()
            return
        self._brain.settle(heard_words)
        self._forget(self._answered)
        self._answered = ()

    def _forget(self, pieces: tuple[int, ...]) -> None:
        for number in pieces:
            self._pieces.pop(number, None)
            if number == self._open:
                self._open = None


def _as_nothing(piece: int) -> m.Recognized:
    return m.Recognized(piece, "", (), 0.0, 0.0)


def _timed_words(recognition: Recognition, piece: _PieceAudio) -> tuple[Word, ...]:
    """Return words with times on the session's clock, spread evenly if the recognizer gives none."""
    count = len(recognition.words)
    words = []
    for index, word in enumerate(recognition.words):
        start, end = (piece.start + piece.samples * i // count for i in (index, index + 1))
        if word.start_s is not None and word.end_s is not None:
            start, end = (piece.start + round(s * ENGINE_RATE_HZ) for s in (word.start_s, word.end_s))
        words.append(Word(word.text, start=start, end=end))
    return tuple(words)
