"""Runs commands on a model, one bounded step at a time; knows neither threads nor clocks."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from taste_agent.audio.ports import Samples
from taste_agent.audio.text_gate import GatedRecognition, GatedRecognizer
from taste_agent.clock import ENGINE_RATE_HZ, samples_of_ms, seconds_of_samples
from taste_agent.config import AgentSettings
from taste_agent.dialog import messages as m
from taste_agent.dialog.brain import Brain, ReplyItem, Sound
from taste_agent.events import TimedWord
from taste_agent.session.costs import CostMeter
from taste_speech.errors import TasteError
from taste_speech.recognition.base import Recognition

logger = logging.getLogger(__name__)

_EXPLAINED = (TasteError, ValueError)
"""Errors whose text is for people."""

_MAX_SEGMENT_SAMPLES = 29 * ENGINE_RATE_HZ
"""The audio tower takes less than 30 s."""


@dataclass(slots=True)
class _PieceAudio:
    start: int
    blocks: list[Samples] = field(default_factory=list)
    samples: int = 0
    since_partial: int = 0
    text: str = ""
    failed: bool = False
    """Whether the recogniser failed on it; the rest of it is not heard then."""


@dataclass(slots=True)
class _RunningReply:
    generation: int
    items: Iterator[ReplyItem]
    tokenize_ms: float
    prefill_ms: float
    text: list[str] = field(default_factory=list)


class DialogWorker:
    """Executes commands on a `Brain`. `continue_reply` is called while `replying`, between commands."""

    def __init__(self, brain: Brain, settings: AgentSettings, meter: CostMeter, speaks: bool = True) -> None:
        """Work for `settings`, measured by `meter`; with `speaks` False replies are words without sound."""
        self._speaks = speaks
        self._brain = brain
        self._meter = meter
        self._recognizer = brain.recognizer()
        self._partial_every = samples_of_ms(settings.recognition.partial_every_ms)
        self._holds = settings.emit.hold_while_person_speaks
        self._pieces: dict[int, _PieceAudio] = {}
        self._open: int | None = None
        self._prepared: m.Prepared | None = None
        self._reply: _RunningReply | None = None
        self._answered: tuple[int, ...] = ()

    @property
    def replying(self) -> bool:
        """Whether a reply is to be generated further now."""
        return self._reply is not None and not (self._holds and self._open is not None)

    def execute(self, command: m.Command) -> list[m.Result]:
        """Does what a command asks for; errors that a person can understand become `Failed`.

        A piece on which the recogniser failed is closed as nothing: who waits for it waits for an answer.
        """
        try:
            return self._execute(command)
        except _EXPLAINED as error:
            failed = self._failed(getattr(command, "generation", None), error)
            if isinstance(command, m.Hear):
                self._pieces[command.piece].failed = True
            return [failed, _as_nothing(command.piece)] if isinstance(command, m.ClosePiece) else [failed]

    def continue_reply(self) -> list[m.Result]:
        """Generates and speaks the next chunk of the running reply."""
        reply = self._reply
        if reply is None:
            return []
        try:
            return self._next_chunk(reply)
        except _EXPLAINED as error:
            return [self._failed(reply.generation, error)]

    def _failed(self, generation: int | None, error: Exception) -> m.Failed:
        """What is told of an error; a reply ends only by an error of its own, which has its generation."""
        logger.debug("a dialog step failed", exc_info=error)
        if generation is not None:
            self._stop_reply()
        return m.Failed(generation, " ".join(str(error).split()))

    def _execute(self, command: m.Command) -> list[m.Result]:
        match command:
            case m.Hear():
                return self._hear(command)
            case m.ClosePiece():
                return [self._close(command.piece)]
            case m.Prepare():
                return [self._prepare(command.pieces)]
            case m.Answer():
                self._answer(command)
            case m.AnswerText():
                self._answer_text(command)
            case m.GoOn():
                self._go_on(command)
            case m.Settle():
                self._settle(command.heard_words)
            case m.Drop():
                self._forget(command.pieces)
        return []

    # ---- hearing

    def _hear(self, command: m.Hear) -> list[m.Result]:
        piece = self._pieces.get(command.piece)
        with self._meter.measure("recognise_per_s", seconds_of_samples(len(command.samples))):
            if piece is None:
                piece = self._pieces[command.piece] = _PieceAudio(command.start)
                self._open = command.piece
                if isinstance(self._recognizer, GatedRecognizer):
                    self._recognizer.begin_at(command.start)
                self._recognizer.start()
            if piece.failed:
                return []
            piece.blocks.append(command.samples)
            piece.samples += len(command.samples)
            piece.since_partial += len(command.samples)
            self._recognizer.accept(command.samples)
            if not self._partial_every or piece.since_partial < self._partial_every:
                return []
            piece.since_partial = 0
            text = self._recognizer.partial()
        echo = self._recognizer.echo_text if isinstance(self._recognizer, GatedRecognizer) else ""
        return [m.Partial(command.piece, text, piece.start + piece.samples, echo)]

    def _close(self, number: int) -> m.Recognised:
        piece = self._pieces[number]
        self._open = None
        if piece.failed:
            return _as_nothing(number)
        with self._meter.measure("recognise_end") as reading:
            recognition = self._recognizer.finish()
        piece.text = recognition.text.strip()
        confidences = [word.confidence for word in recognition.words if word.confidence is not None]
        confidence = float(np.mean(confidences)) if confidences else 1.0
        words = _timed_words(recognition, piece)
        echo = recognition.echo_text if isinstance(recognition, GatedRecognition) else ""
        return m.Recognised(number, piece.text, words, confidence, reading.ms, echo)

    # ---- thinking

    def _prepare(self, pieces: tuple[int, ...]) -> m.Prepared:
        if self._prepared is not None and self._prepared.pieces == pieces:
            return self._prepared
        self._prepared = None
        self._brain.discard()
        with self._meter.measure("tokenize") as tokenize:
            segments = [
                segment
                for text, samples in self._parts(pieces)
                for segment in self._brain.tokenize(text, samples)
            ]
        with self._meter.measure("prefill") as prefill:
            probability = self._brain.prefill(segments)
        self._prepared = m.Prepared(pieces, probability, tokenize.ms, prefill.ms)
        return self._prepared

    def _parts(self, pieces: tuple[int, ...]) -> list[tuple[str, Samples]]:
        """Text and audio of the pieces, joined to as few segments as the audio tower's limit allows."""
        groups: list[list[_PieceAudio]] = []
        for piece in (self._pieces[number] for number in pieces):
            if groups and sum(p.samples for p in groups[-1]) + piece.samples <= _MAX_SEGMENT_SAMPLES:
                groups[-1].append(piece)
            else:
                groups.append([piece])
        return [
            (
                " ".join(piece.text for piece in group if piece.text),
                np.concatenate([block for piece in group for block in piece.blocks]),
            )
            for group in groups
        ]

    def _answer(self, command: m.Answer) -> None:
        was_ready = self._prepared is not None and self._prepared.pieces == command.pieces
        prepared = self._prepare(command.pieces)
        self._answered = command.pieces
        costs = (0.0, 0.0) if was_ready else (prepared.tokenize_ms, prepared.prefill_ms)
        self._start_reply(command.generation, *costs)

    def _answer_text(self, command: m.AnswerText) -> None:
        self._prepared = None
        self._brain.discard()
        with self._meter.measure("prefill") as prefill:
            self._brain.prefill([self._brain.text_segment(command.text)])
        self._start_reply(command.generation, 0.0, prefill.ms)

    def _start_reply(self, generation: int, tokenize_ms: float, prefill_ms: float) -> None:
        self._reply = _RunningReply(generation, self._brain.reply(), tokenize_ms, prefill_ms)

    def _go_on(self, command: m.GoOn) -> None:
        self._prepared = None
        self._brain.discard()
        with self._meter.measure("prefill") as prefill:
            items = self._brain.go_on()
        self._reply = _RunningReply(command.generation, items, 0.0, prefill.ms)

    # ---- speaking

    def _next_chunk(self, reply: _RunningReply) -> list[m.Result]:
        with self._meter.measure("word", 0.0) as generate:
            item = next(reply.items)
            self._meter.charge(generate, "word", len(item.words), 0.0)
        results: list[m.Result] = []
        if item.words or (item.complete and reply.text):
            with self._meter.measure("detokenize", bool(item.words)) as detokenize:
                sound = self._brain.speak(item) if self._speaks else _without_sound(item)
            reply.text += item.words
            results.append(
                m.Spoken(
                    reply.generation,
                    sound.samples,
                    sound.words,
                    reply.tokenize_ms,
                    reply.prefill_ms,
                    generate.ms,
                    detokenize.ms,
                )
            )
            reply.tokenize_ms = reply.prefill_ms = 0.0
        if item.complete:
            text = " ".join(word.strip() for word in reply.text if word.strip())
            results.append(m.Generated(reply.generation, item.reason, text))
            self._reply = None
        return results

    def _stop_reply(self) -> None:
        reply, self._reply = self._reply, None
        close = getattr(reply.items, "close", None) if reply else None
        if close is not None:
            close()

    # ---- remembering

    def _settle(self, heard_words: int) -> None:
        self._stop_reply()
        self._prepared = None
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


def _without_sound(item: ReplyItem) -> Sound:
    return Sound(np.zeros(0, np.float32), tuple(m.SpokenWord(word, 0) for word in item.words))


def _as_nothing(piece: int) -> m.Recognised:
    return m.Recognised(piece, "", (), 0.0, 0.0)


def _timed_words(recognition: Recognition, piece: _PieceAudio) -> tuple[TimedWord, ...]:
    """Words on the session's clock; a recogniser without times gets them spread evenly."""
    count = len(recognition.words)
    words = []
    for index, word in enumerate(recognition.words):
        start, end = (piece.start + piece.samples * i // count for i in (index, index + 1))
        if word.start_s is not None and word.end_s is not None:
            start = piece.start + round(word.start_s * ENGINE_RATE_HZ)
            end = piece.start + round(word.end_s * ENGINE_RATE_HZ)
        words.append(TimedWord(word.text, start, end))
    return tuple(words)
