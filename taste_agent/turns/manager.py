"""Who has the floor: the state machine of a conversation. Pure; see `taste_agent.session` for its place."""

from dataclasses import dataclass

from taste_agent import events as ev
from taste_agent.audio.playback import PlaybackBuffer, Pulled
from taste_agent.clock import ENGINE_RATE_HZ, ms_of_samples, samples_of_ms
from taste_agent.config import AgentSettings
from taste_agent.dialog import messages as m
from taste_agent.turns.barge_in import BargeInDecision, Interjection, decide_barge_in
from taste_agent.turns.endpointing import required_silence_ms
from taste_agent.turns.frames import FrameDecision
from taste_agent.turns.pieces import Piece, Stretch
from taste_agent.turns.reply import Reply
from taste_agent.turns.vad import VadMachine, VadStarted, VadStopped

_CUT_PAUSE_MS = 100
"""Long speech is cut where it has paused for so long."""


@dataclass(frozen=True, slots=True)
class ListenFrom:
    """Hand audio from this sample on to the worker as this piece."""

    piece: int
    start: int


@dataclass(frozen=True, slots=True)
class ListenStop:
    """The piece is complete with the current frame."""

    piece: int


Output = m.Command | ev.Event | ListenFrom | ListenStop


class TurnManager:
    """Decides about turns from frame decisions, worker results and playback progress.

    Every input method takes the input sample that is now and returns what follows from it, in order. The
    playback buffer is told directly.
    """

    def __init__(self, settings: AgentSettings, playback: PlaybackBuffer) -> None:
        self._settings = settings
        self._playback = playback
        self._vad = VadMachine(settings.vad)
        self._out: list[Output] = []
        self._next_piece = 0
        self._generation = 0
        self._turn = Stretch()
        self._interjection = Stretch()
        self._open: Piece | None = None
        self._last_audio_end = 0
        self._reply: Reply | None = None
        self._requested: tuple[int, ...] = ()
        self._ahead = False  # whether run-ahead has begun for the turn
        self._prepared: m.Prepared | None = None
        self._asked: tuple[int, ...] = ()
        self._forced = ""
        self._heard_by_vad = True
        self._told_failure = ""
        self.output_latency_samples = 0

    @property
    def idle(self) -> bool:
        """Whether nothing is going on and nothing is owed."""
        owed = self._turn and self._turn.numbers != self._asked
        return not (self._vad.speaking or self._open or owed or self._reply or self._interjection)

    @property
    def speaking(self) -> bool:
        """Whether the person speaks."""
        return self._vad.speaking

    @property
    def replying(self) -> bool:
        """Whether the agent thinks or speaks."""
        return self._reply is not None

    # ---- inputs

    def on_frame(self, now: int, frame: FrameDecision) -> list[Output]:
        """A frame that ends at `now` was judged."""
        self._hear_words(now)
        change = self._vad.push(frame.is_speech)
        if self._deaf:
            return self._flush()
        if isinstance(change, VadStarted) or (self._vad.speaking and self._open is None):
            self._speech_started(now, change.first_sample if isinstance(change, VadStarted) else now)
        elif isinstance(change, VadStopped):
            self._out.append(ev.SpeechEnded(now, change.last_sample))
        if self._open is not None:
            self._open.take_frame(frame)
            self._follow_piece(now, self._open)
        self._check_barge_in(now)
        self._check_prepare(now)
        if not frame.is_speech or self._forced:
            self._check_end_of_turn(now)
        return self._flush()

    def on_result(self, now: int, result: m.Result) -> list[Output]:
        """The worker has something."""
        match result:
            case m.Partial():
                self._take_partial(now, result)
            case m.Recognised():
                self._take_recognised(now, result)
            case m.Prepared():
                if result.pieces == self._turn.numbers and not self._vad.speaking:
                    self._prepared = result
                    p = result.speaking_probability
                    self._out.append(
                        ev.RunAheadReady(now, result.pieces, p, result.tokenize_ms, result.prefill_ms)
                    )
            case m.Failed():
                self._take_failure(now, result)
            case m.Spoken() | m.Generated() | m.Silent():
                if self._reply is not None and result.generation == self._reply.generation:
                    self._take_reply(now, self._reply, result)
        return self._flush()

    def on_pulled(self, now: int, pulled: Pulled) -> list[Output]:
        """Playback took samples that sound from `now` on."""
        reply = self._reply
        if reply is None or self._playback.generation != reply.generation:
            return []
        if pulled.started:
            self._out.append(self._first_audio(now, reply))
        if pulled.gap_samples:
            self._out.append(ev.Underrun(now, reply.generation, pulled.gap_samples))
        reply.take_pulled(now + len(pulled.samples) + self.output_latency_samples, pulled)
        return self._flush()

    def interrupt(self, now: int, reason: str = "key") -> list[Output]:
        """Stops the reply at once."""
        if self._reply is not None:
            self._cancel(now, self._reply, reason)
        return self._flush()

    def type_text(self, now: int, text: str) -> list[Output]:
        """Answers something typed; it takes the floor."""
        if self._reply is not None:
            self._cancel(now, self._reply, "typed")
        self._generation += 1
        self._reply = Reply(self._generation, Stretch(), now, now)
        self._playback.begin(self._generation)
        self._out += [
            ev.TurnEnded(now, self._generation, (), now, 0.0, None, "typed"),
            ev.UserTurn(now, self._generation, text, (), now, now),
            m.AnswerText(self._generation, text),
        ]
        return self._flush()

    def trust_talk_key(self, trusted: bool) -> None:
        """With a talk key whatever is heard is meant, also what does not sound like speech."""
        self._heard_by_vad = not trusted

    def end_turn(self, now: int, reason: str) -> list[Output]:
        """Ends the person's turn without waiting for silence (muted, or the talk key released)."""
        self._end_speech(now)
        if self._open is not None:
            self._close_piece(now, self._open)
        if self._turn and self._turn.numbers != self._asked:
            self._forced = reason
        return self._flush()

    # ---- the person

    @property
    def _deaf(self) -> bool:
        return self._reply is not None and not self._settings.barge_in.enabled

    def _speech_started(self, now: int, first_sample: int) -> None:
        self._out.append(ev.SpeechStarted(now, first_sample))
        self._forced = ""
        if self._open is not None:  # a pause so short that the piece goes on
            return
        if self._reply is not None:
            if not self._playback.paused:
                self._playback.pause()
                if self.output_latency_samples:  # the loudspeaker's queue is silenced at once
                    self._playback.unpull(self._reply.forget_unheard(now))
                self._out.append(ev.PlaybackPaused(now, self._reply.generation, first_sample))
        else:
            self._drop_run_ahead(now)
        start = max(first_sample - samples_of_ms(self._settings.vad.pre_roll_ms), self._last_audio_end)
        self._open_piece(first_sample, start, now)

    def _open_piece(self, first_sample: int, start: int, end: int) -> None:
        piece = Piece(self._next_piece, first_sample, start, end)
        self._next_piece += 1
        self._open = piece
        (self._interjection if self._reply is not None else self._turn).pieces.append(piece)
        self._out.append(ListenFrom(piece.number, start))

    def _follow_piece(self, now: int, piece: Piece) -> None:
        piece.end = max(piece.first_sample, self._vad.speech_end)
        limits = self._settings.endpointing
        silence = 0 if self._vad.speaking else now - piece.end
        run_ahead = samples_of_ms(limits.run_ahead_ms)
        if silence >= (2 * run_ahead if self._vad.stirring else run_ahead):
            self._close_piece(now, piece)
            return
        length = now - piece.audio_start
        at_limit = length >= limits.max_piece_s * ENGINE_RATE_HZ
        searching = length >= (limits.max_piece_s - limits.cut_search_s) * ENGINE_RATE_HZ
        in_pause = now - self._vad.speech_end >= samples_of_ms(_CUT_PAUSE_MS)
        if not self._vad.speaking or not (at_limit or (searching and in_pause)):
            return
        self._close_piece(now, piece)
        self._out.append(ev.PieceCut(now, piece.number, now, in_pause))
        if in_pause:
            self._end_speech(now)
        else:
            self._open_piece(now, now, now)

    def _end_speech(self, now: int) -> None:
        stopped = self._vad.stop()
        if stopped is not None:
            self._out.append(ev.SpeechEnded(now, stopped.last_sample))

    def _close_piece(self, now: int, piece: Piece) -> None:
        piece.open = False
        piece.end = max(piece.first_sample, min(piece.end, now))
        self._open = None
        self._last_audio_end = now
        self._out.append(ListenStop(piece.number))
        kind = piece.kind(self._settings.vad)
        if kind != "speech" and self._heard_by_vad:
            piece.recognised = True  # as nothing
            self._drop(now, [piece], kind)
            if piece in self._turn.pieces:
                self._turn.remove(piece)
            return
        self._out.append(m.ClosePiece(piece.number))
        if piece in self._turn.pieces:
            self._ahead = True
            self._out.append(ev.RunAheadStarted(now, self._turn.numbers))

    def _drop_run_ahead(self, now: int) -> None:
        if self._turn and self._ahead:
            self._out.append(ev.RunAheadDropped(now, self._turn.numbers))
        self._ahead = False
        self._prepared = None
        self._requested = ()

    def _take_partial(self, now: int, result: m.Partial) -> None:
        piece = self._find(result.piece)
        if piece is not None and not piece.recognised:
            piece.partial_text = result.text
            self._out.append(ev.PartialHeard(now, result.piece, result.text))

    def _take_recognised(self, now: int, result: m.Recognised) -> None:
        piece = self._find(result.piece)
        if piece is None:
            return
        piece.recognised, piece.recognise_ms = True, result.recognise_ms
        understood = (
            bool(result.text.strip()) and result.confidence >= self._settings.recognition.min_confidence
        )
        piece.text, piece.words = (result.text.strip(), result.words) if understood else ("", ())
        piece.echo_text = "" if result.text.strip() else result.echo_text
        self._out.append(
            ev.PieceRecognised(
                now, result.piece, result.text, result.words, result.confidence, result.recognise_ms
            )
        )
        if not understood and piece in self._turn.pieces:
            self._drop(now, [piece], piece.unheard_reason)
            self._turn.remove(piece)

    def _find(self, number: int) -> Piece | None:
        return self._turn.find(number) or self._interjection.find(number)

    def _drop(self, now: int, pieces: list[Piece], reason: str) -> None:
        numbers = tuple(piece.number for piece in pieces)
        for piece in pieces:
            piece.dropped = True
        texts = (piece.echo_text if reason == "echo" else piece.text for piece in pieces)
        text = " ".join(text for text in texts if text)
        self._out += [ev.SpeechDropped(now, numbers, reason, text), m.Drop(numbers)]

    # ---- the floor

    def _check_prepare(self, now: int) -> None:
        numbers = self._turn.numbers
        ready = numbers and self._reply is None and not self._turn.pending and not self._vad.speaking
        if ready and numbers != self._requested and numbers != self._asked:
            self._requested = numbers
            self._out.append(m.Prepare(numbers))

    def _check_end_of_turn(self, now: int) -> None:
        numbers = self._turn.numbers
        if self._reply is not None or not numbers or numbers == self._asked:
            return
        if self._vad.speaking or self._turn.pending:
            return
        prepared = self._prepared if self._prepared and self._prepared.pieces == numbers else None
        probability = prepared.speaking_probability if prepared else None
        end_of_speech = self._turn.pieces[-1].end
        silence_ms = ms_of_samples(now - end_of_speech)
        needed_ms = required_silence_ms(
            self._settings.endpointing, probability, self._turn.text, asks_model=prepared is None
        )
        if not self._forced and silence_ms < needed_ms:
            return
        self._generation += 1
        generation, turn = self._generation, self._turn
        self._reply = Reply(generation, turn, end_of_speech, now, recognise_ms=turn.pieces[-1].recognise_ms)
        if prepared is not None:
            self._reply.tokenize_ms, self._reply.prefill_ms = prepared.tokenize_ms, prepared.prefill_ms
        self._playback.begin(generation)
        reason = self._forced or "silence"
        self._out += [
            ev.TurnEnded(now, generation, numbers, end_of_speech, silence_ms, probability, reason),
            ev.UserTurn(now, generation, turn.text, turn.words, turn.pieces[0].first_sample, end_of_speech),
            m.Answer(generation, numbers),
        ]
        self._turn, self._forced, self._requested, self._prepared = Stretch(), "", (), None
        self._ahead = False

    def _check_barge_in(self, now: int) -> None:
        reply = self._reply
        if reply is None or not self._interjection:
            return
        said = self._interjection
        silence = 0 if self._vad.speaking else now - said.pieces[-1].end
        kinds = {piece.kind(self._settings.vad) for piece in said.pieces}
        speech_samples = said.speech_samples if "speech" in kinds or not self._heard_by_vad else 0
        decision = decide_barge_in(
            self._settings.barge_in,
            Interjection(speech_samples, silence, said.partial_text, said.text, said.pending),
            self._settings.endpointing.hanging_words,
        )
        if decision in (BargeInDecision.CANCEL_SPEECH, BargeInDecision.CANCEL_WORD):
            self._cancel(now, reply, decision.value)
        elif decision is BargeInDecision.RESUME:
            reason = "backchannel" if said.text else said.unheard_reason
            if dropped := [piece for piece in said.pieces if not piece.dropped]:
                self._drop(now, dropped, reason)
            self._interjection = Stretch()
            from_word = self._playback.resume()
            self._out.append(ev.PlaybackResumed(now, reply.generation, reason, from_word))

    # ---- the agent

    def _take_reply(self, now: int, reply: Reply, result: m.Spoken | m.Generated | m.Silent) -> None:
        if isinstance(result, m.Spoken):
            reply.take_chunk(result)
            self._playback.push(result.generation, result.samples, result.words)
            words = tuple(word.text for word in result.words)
            self._out.append(
                ev.ReplyChunk(
                    now,
                    reply.generation,
                    words,
                    len(result.samples),
                    result.generate_ms,
                    result.detokenize_ms,
                )
            )
        elif isinstance(result, m.Generated) and reply.words:
            self._out.append(ev.ReplyGenerated(now, reply.generation, result.reason, result.text))
            self._playback.complete(reply.generation)
            reply.generated = True
        else:  # nothing to say: the turn stays open, and what follows joins it
            self._out.append(ev.NoSpeech(now, reply.generation))
            self._playback.cancel()
            self._reply = None
            self._turn = Stretch(reply.question.pieces + self._interjection.pieces)
            self._asked = reply.question.numbers
            self._interjection = Stretch()
            if isinstance(result, m.Generated):
                self._out.append(m.Settle(reply.generation, 0))

    def _first_audio(self, now: int, reply: Reply) -> ev.FirstAudio:
        chunk = reply.first_chunk
        return ev.FirstAudio(
            now,
            reply.generation,
            since_end_of_speech_ms=ms_of_samples(now - reply.end_of_speech),
            endpoint_ms=ms_of_samples(reply.end_of_turn - reply.end_of_speech),
            compute_ms=ms_of_samples(now - reply.end_of_turn),
            recognise_ms=reply.recognise_ms,
            tokenize_ms=reply.tokenize_ms,
            prefill_ms=reply.prefill_ms,
            generate_ms=chunk.generate_ms if chunk else 0.0,
            detokenize_ms=chunk.detokenize_ms if chunk else 0.0,
        )

    def _take_failure(self, now: int, result: m.Failed) -> None:
        if result.text != self._told_failure:  # what fails ahead fails again when it is needed
            self._out.append(ev.Notice(now, "error", result.text))
        self._told_failure = result.text
        if self._reply is not None and result.generation == self._reply.generation:
            self._cancel(now, self._reply, "failed")
            self._told_failure = ""

    def _hear_words(self, now: int) -> None:
        reply = self._reply
        while reply is not None and reply.on_the_way and reply.on_the_way[0][0] <= now:
            _, words, finished = reply.on_the_way.popleft()
            for index in range(reply.heard_words, reply.heard_words + words):
                self._out.append(ev.WordHeard(now, reply.generation, index, reply.words[index]))
            reply.heard_words += words
            if finished:
                self._complete_reply(now, reply)
                return

    def _complete_reply(self, now: int, reply: Reply) -> None:
        audio_ms = ms_of_samples(reply.audio_samples)
        rtf = reply.compute_ms / audio_ms if audio_ms else 0.0
        self._out += [
            ev.ReplyFinished(
                now, reply.generation, reply.text(0, reply.heard_words), reply.underruns, audio_ms, rtf
            ),
            m.Settle(reply.generation, reply.heard_words),
        ]
        self._release(now, Stretch())

    def _cancel(self, now: int, reply: Reply, reason: str) -> None:
        self._playback.cancel()
        heard = reply.heard_words
        self._out += [
            ev.ReplyCancelled(now, reply.generation, reason, heard, reply.text(0, heard), reply.text(heard)),
            m.Settle(reply.generation, heard),
        ]
        if reason == "failed" and heard == 0 and reply.question:
            self._drop(now, reply.question.pieces, "failed")  # it would fail again
        self._release(now, reply.question if heard == 0 and reason != "failed" else Stretch())
        if reason in ("key", "typed"):  # the person wants silence, or asks something else
            self._asked = self._turn.numbers

    def _release(self, now: int, unanswered: Stretch) -> None:
        """The agent has no reply any more; what was said meanwhile becomes the turn."""
        said = self._interjection.pieces
        nothing = [piece for piece in said if piece.recognised and not piece.text]
        for piece in nothing:
            if not piece.dropped:
                self._drop(now, [piece], piece.unheard_reason)
        self._turn = Stretch(unanswered.pieces + [piece for piece in said if piece not in nothing])
        self._interjection = Stretch()
        self._reply = None
        self._asked = ()

    def _flush(self) -> list[Output]:
        out, self._out = self._out, []
        return out
