"""The state machine that decides who has the floor. Pure; see `taste_agent.session` for its place."""

from taste_agent import events as ev
from taste_agent.audio.playback import Pulled
from taste_agent.clock import ms_of_samples, samples_of_ms
from taste_agent.config import AgentSettings
from taste_agent.dialog import messages as m
from taste_agent.turns.answering import Answering, Reply
from taste_agent.turns.hearing import Hearing, Stretch
from taste_agent.turns.rules import (
    UNHEARD_MS,
    BargeInDecision,
    decide_barge_in,
    probability_over,
    required_silence_ms,
)
from taste_agent.turns.vad import FrameDecision, VadStarted, VadStopped

_KEPT_MS = 8000
"""Silence after which an incomplete turn is forgotten."""


class TurnManager:
    """Decides about turns from frame decisions, worker results and playback progress.

    Every input method takes the current input sample and returns the orders that follow. `Hearing` keeps the
    person's speech and `Answering` keeps the reply; the manager passes the floor between them.
    """

    def __init__(self, settings: AgentSettings) -> None:
        self._settings = settings
        self._out: list[m.Order] = []
        self._person = Hearing(settings, self._out)
        self._agent = Answering(self._out)
        self._requested: tuple[int, ...] = ()
        self._prepared: m.Prepared | None = None
        self._asked: tuple[int, ...] = ()
        self._forced = ""
        self._cut_short = False
        """Whether the last reply was interrupted by voice after part of it was heard."""
        self._told_failure = ""

    @property
    def idle(self) -> bool:
        """Whether nobody speaks and no answer is due."""
        owed = self._person.turn and self._person.turn.numbers != self._asked
        return self._person.idle and not (owed or self.replying or self._cut_short)

    @property
    def replying(self) -> bool:
        """Whether the agent is preparing or speaking a reply."""
        return self._agent.reply is not None

    def set_latency(self, input_samples: int, output_samples: int) -> None:
        """Set the age of a frame when it is judged, and the time from pulling a sample to hearing it."""
        self._agent.input_latency_samples = input_samples
        self._agent.output_latency_samples = output_samples

    def on_frame(self, now: int, frame: FrameDecision) -> list[m.Order]:
        """Take the decision on the frame that ends at `now`."""
        if self._agent.hear_words(now):
            self._release(now, Stretch())
        change = self._person.push(frame)
        if self.replying and not self._settings.barge_in.enabled:  # deaf
            return self._flush()
        if isinstance(change, VadStarted) or self._person.unheard:
            self._speech_started(now, change.first_sample if isinstance(change, VadStarted) else now)
        elif isinstance(change, VadStopped):
            self._out.append(ev.SpeechEnded(now, change.last_sample))
        self._person.follow(now, frame, over_reply=self.replying)
        self._check_barge_in(now)
        self._check_prepare()
        self._check_unanswered(now)
        if not frame.is_speech or self._forced:
            self._check_end_of_turn(now)
        return self._flush()

    def on_result(self, now: int, result: m.Result) -> list[m.Order]:
        """Take a result of the worker; drop results of older replies."""
        reply = self._agent.reply
        match result:
            case m.Partial():
                self._person.take_partial(now, result)
            case m.Recognized():
                self._person.take_recognized(now, result)
            case m.Prepared(pieces, probability):
                if pieces == self._person.turn.numbers and not self._person.speaking:
                    self._prepared = result
                    costs = (result.tokenize_ms, result.prefill_ms)
                    over = self._probability_over(self._person.turn, result)
                    self._out.append(ev.RunAheadReady(now, pieces, probability, over, *costs))
            case m.Failed():
                self._take_failure(now, result)
            case m.Spoken(generation) | m.Generated(generation):
                if reply is None or generation != reply.generation:
                    pass
                elif not self._agent.take(now, reply, result):
                    self._person.drop(now, reply.question.pieces, "unanswered")
                    self._release(now, Stretch())
        return self._flush()

    def on_pulled(self, now: int, pulled: Pulled) -> list[m.Order]:
        """Note samples that were pulled for playback from `now` on."""
        self._agent.take_pulled(now, pulled)
        return self._flush()

    def interrupt(self, now: int, reason: str = "key") -> list[m.Order]:
        """Stop the reply at once; without one, end the person's turn if `reason` is `key`."""
        if self._agent.reply is not None:
            self._cancel(now, self._agent.reply, reason)
        elif reason == "key":
            self._person.stop_listening(now)
            self._asked, self._forced = (), reason if self._person.turn else ""
        self._cut_short = False
        return self._flush()

    def type_text(self, now: int, text: str) -> list[m.Order]:
        """Answer typed text, which takes the floor from the reply and from unanswered speech."""
        if self._agent.reply is not None:
            self._cancel(now, self._agent.reply, "typed")
        if self._person.turn:  # misheard, or not worth waiting for
            self._forget_turn(now, "typed")
        self._cut_short = False
        generation = self._agent.begin(Stretch(), now, now).generation
        self._out += [
            ev.TurnEnded(now, generation, (), now, 0.0, None, "typed"),
            ev.UserTurn(now, generation, text, (), now, now),
            m.AnswerText(generation, text),
        ]
        return self._flush()

    def trust_talk_key(self, trusted: bool) -> None:
        """Take all sound for meant while a talk key is used, even if it is not like speech."""
        self._person.trusts_vad = not trusted

    def end_turn(self, now: int, reason: str) -> list[m.Order]:
        """End the person's turn without waiting for silence (muted, or talk key released)."""
        self._person.stop(now)
        if self._person.turn and self._person.turn.numbers != self._asked:
            self._forced = reason
        return self._flush()

    def _speech_started(self, now: int, first_sample: int) -> None:
        self._out.append(ev.SpeechStarted(now, first_sample))
        self._forced = ""
        if self._person.in_piece:  # the pause was too short to end the piece
            return
        reply = self._agent.reply
        if reply is None:
            self._person.drop_run_ahead(now)
            self._prepared, self._requested = None, ()
        elif not reply.echoes:
            self._agent.pause(now, reply, first_sample)
        self._person.begin_piece(now, first_sample, over_reply=reply is not None)

    def _check_prepare(self) -> None:
        turn = self._person.turn
        if not turn or self.replying or turn.pending or self._person.speaking:
            return
        if turn.numbers not in (self._requested, self._asked):
            self._requested = turn.numbers
            self._out.append(m.Prepare(turn.numbers))

    def _check_end_of_turn(self, now: int) -> None:
        turn, numbers = self._person.turn, self._person.turn.numbers
        if self.replying or not turn or numbers == self._asked or self._person.speaking or turn.pending:
            return
        prepared = self._prepared if self._prepared and self._prepared.pieces == numbers else None
        probability = prepared.speaking_probability if prepared else None
        end_of_speech = turn.pieces[-1].end
        silence_ms = ms_of_samples(now - end_of_speech)
        if not self._forced and silence_ms < self._required_silence_ms(turn, prepared):
            return
        reply = self._agent.begin(self._person.take_turn(), end_of_speech, now)
        reply.recognize_ms = turn.pieces[-1].recognize_ms
        if prepared is not None:
            reply.tokenize_ms, reply.prefill_ms = prepared.tokenize_ms, prepared.prefill_ms
        generation, reason = reply.generation, self._forced or "silence"
        self._out += [
            ev.TurnEnded(now, generation, numbers, end_of_speech, silence_ms, probability, reason),
            ev.UserTurn(now, generation, turn.text, turn.words, turn.pieces[0].first_sample, end_of_speech),
            m.Answer(generation, numbers),
        ]
        self._forced, self._requested, self._prepared, self._cut_short = "", (), None, False

    def _required_silence_ms(self, turn: Stretch, prepared: m.Prepared | None) -> float:
        limits = self._settings.endpointing
        if prepared is None:  # the model has not read it yet
            return limits.max_silence_ms
        over = self._probability_over(turn, prepared)
        return required_silence_ms(limits, over, heard=turn.finished is not None)

    def _probability_over(self, turn: Stretch, prepared: m.Prepared) -> float | None:
        limits = self._settings.endpointing
        return probability_over(limits, turn.text, prepared.speaking_probability, turn.finished)

    def _check_unanswered(self, now: int) -> None:
        """Continue a reply that was interrupted by mistake, and forget a turn that stays incomplete."""
        turn = self._person.turn
        if self.replying or self._person.in_piece or self._person.speaking or turn.pending:
            return
        silence = now - turn.pieces[-1].end if turn else 0
        if self._cut_short and not (turn and self._is_meant(turn, silence)):
            self._forget_turn(now, "unanswered")
            self._cut_short = False
            generation = self._agent.begin(Stretch(), now, now).generation
            self._out += [ev.ReplyTakenUp(now, generation), m.GoOn(generation)]
        elif turn and turn.numbers == self._asked and silence >= samples_of_ms(_KEPT_MS):
            self._forget_turn(now, "unanswered")

    def _is_meant(self, turn: Stretch, silence: int) -> bool:
        """Return whether the model may want to answer the turn that interrupted a reply."""
        prepared = self._prepared
        if prepared is None or prepared.pieces != turn.numbers or prepared.speaking_probability is None:
            return True
        unsure = silence < samples_of_ms(self._settings.endpointing.min_silence_ms + UNHEARD_MS)
        return unsure or prepared.speaking_probability > m.ITS_TURN

    def _forget_turn(self, now: int, reason: str) -> None:
        self._person.drop_turn(now, reason)
        self._prepared, self._requested, self._asked = None, (), ()

    def _check_barge_in(self, now: int) -> None:
        reply, said = self._agent.reply, self._person.interjection
        if reply is None or not said:
            return
        heard = self._person.interrupting(now)
        decision = decide_barge_in(self._settings.barge_in, heard, self._settings.endpointing.hanging_words)
        if decision in (BargeInDecision.CANCEL_SPEECH, BargeInDecision.CANCEL_WORD):
            self._cancel(now, reply, decision.value)
        elif decision is BargeInDecision.RESUME:
            reason = "backchannel" if said.text else said.unheard_reason
            self._person.forget_interjection(now, reason)
            self._agent.resume(now, reply, reason)
        elif heard.partial_text or heard.final_text:
            self._agent.pause(now, reply, said.pieces[-1].first_sample)

    def _take_failure(self, now: int, result: m.Failed) -> None:
        if result.text != self._told_failure:  # work that fails ahead fails again when it is needed
            self._out.append(ev.Notice(now, "error", result.text))
        self._told_failure = result.text
        reply = self._agent.reply
        if reply is not None and result.generation == reply.generation:
            self._cancel(now, reply, "failed")
            self._told_failure = ""

    def _cancel(self, now: int, reply: Reply, reason: str) -> None:
        self._agent.cancel(now, reply, reason)
        failed, unheard = reason == "failed", reply.heard_words == 0
        self._cut_short = reason in ("speech", "word") and not unheard and not reply.heard_whole
        if failed and unheard and reply.question:
            self._person.drop(now, reply.question.pieces, "failed")  # it would fail again
        self._release(now, reply.question if unheard and not failed else Stretch())
        if reason == "key":  # the person wants silence
            self._asked = self._person.turn.numbers

    def _release(self, now: int, unanswered: Stretch) -> None:
        self._person.release(now, unanswered)
        self._asked = ()

    def _flush(self) -> list[m.Order]:
        out = list(self._out)
        self._out.clear()
        return out
