"""The person's side of turn-taking: frames and text become pieces of a turn or an interjection. Pure."""

from dataclasses import dataclass, field

from taste_agent import events as ev
from taste_agent.clock import ENGINE_RATE_HZ, samples_of_ms
from taste_agent.config import AgentSettings, VadSettings
from taste_agent.dialog import messages as m
from taste_agent.turns.rules import Interjection
from taste_agent.turns.vad import FrameDecision, VadMachine, VadStarted, VadStopped
from taste_speech.words import Word

_CUT_PAUSE_MS = 100
"""Pause in which long speech is cut."""


@dataclass(slots=True)
class Piece:
    """A stretch of speech between two pauses."""

    number: int
    first_sample: int
    """First sample of speech, without pre-roll."""
    audio_start: int
    """First sample passed to the recognizer."""
    end: int
    """One past the last sample of speech so far."""
    partial_text: str = ""
    text: str = ""
    words: tuple[Word, ...] = ()
    echo_text: str = ""
    """The agent's own words, if nothing else was recognized."""
    recognized_until: int = 0
    """Input sample up to which text has been recognized."""
    recognize_ms: float = 0.0
    finished: float | None = None
    """Probability, judged by the sound, that the person has finished; None if unknown."""
    silence: int = 0
    """Samples of silence between stretches of its speech."""
    open: bool = True
    recognized: bool = False
    dropped: bool = False
    speech_frames: int = 0
    voiced_frames: int = 0
    steady_frames: int = 0
    steadiness_sum: float = 0.0

    def take_frame(self, frame: FrameDecision) -> None:
        """Count the properties of a frame from which `kind` is judged."""
        self.voiced_frames += frame.voiced
        self.speech_frames += frame.is_speech
        if frame.steadiness is not None:
            self.steady_frames += 1
            self.steadiness_sum += frame.steadiness

    def kind(self, settings: VadSettings) -> str:
        """Return `speech`, `music` (steady harmonics) or `noise` (hardly any pitch)."""
        if self.speech_frames and self.voiced_frames < settings.min_voiced * self.speech_frames:
            return "noise"
        if self.steady_frames and self.steadiness_sum > settings.max_steadiness * self.steady_frames:
            return "music"
        return "speech"


@dataclass(slots=True)
class Stretch:
    """Pieces that belong together: a turn, or an interjection while the agent speaks."""

    pieces: list[Piece] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.pieces)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the pieces, in order."""
        return tuple(piece.number for piece in self.pieces)

    @property
    def text(self) -> str:
        """The recognized text of the complete pieces."""
        return " ".join(piece.text for piece in self.pieces if piece.text)

    @property
    def words(self) -> tuple[Word, ...]:
        """All recognized words."""
        return tuple(word for piece in self.pieces for word in piece.words)

    @property
    def finished(self) -> float | None:
        """The probability, judged by the sound, that the person has finished; None if unknown."""
        return self.pieces[-1].finished

    @property
    def unheard_reason(self) -> str:
        """The reason why nothing was understood."""
        echo = any(piece.echo_text for piece in self.pieces)
        return "echo" if echo else "nothing_recognized"

    @property
    def pending(self) -> bool:
        """Whether a piece is still open or not recognized yet."""
        return any(piece.open or not piece.recognized for piece in self.pieces)


class Hearing:
    """Cuts speech into pieces and keeps their recognized text.

    `turn` waits for an answer; `interjection` is said over the agent. The orders that follow from an input
    are appended to `out`.
    """

    def __init__(self, settings: AgentSettings, out: list[m.Order]) -> None:
        self._settings = settings
        self._out = out
        self._vad = VadMachine(settings.vad)
        self._next_piece = 0
        self._last_audio_end = 0
        self._open: Piece | None = None
        self._ran_ahead = False
        self._was_speaking = True
        """Whether the open piece was being spoken at the last frame."""
        self._ignoring = False
        """Whether running speech is ignored until it pauses."""
        self.turn = Stretch()
        self.interjection = Stretch()
        self.trusts_vad = True
        """Whether sound that is not speech is dropped; false with a talk key."""

    @property
    def speaking(self) -> bool:
        """Whether the person is speaking."""
        return self._vad.speaking and not self._ignoring

    @property
    def in_piece(self) -> bool:
        """Whether a piece is open."""
        return self._open is not None

    @property
    def unheard(self) -> bool:
        """Whether there is speech that belongs to no piece."""
        return self.speaking and self._open is None

    @property
    def idle(self) -> bool:
        """Whether nobody speaks and there is no interjection."""
        return not (self.speaking or self._open or self.interjection)

    def push(self, frame: FrameDecision) -> VadStarted | VadStopped | None:
        """Take the next frame; return the start or end of speech that it brings, if any."""
        change = self._vad.push(frame.is_speech)
        if self._ignoring:
            self._ignoring = self._vad.speaking
            return None
        return change

    def begin_piece(self, now: int, first_sample: int, over_reply: bool) -> None:
        """Open a piece for speech that has begun."""
        start = max(first_sample - samples_of_ms(self._settings.vad.pre_roll_ms), self._last_audio_end)
        self._open_piece(first_sample, start, now, over_reply)

    def follow(self, now: int, frame: FrameDecision, over_reply: bool) -> None:
        """Continue, end or cut the open piece, if any."""
        piece = self._open
        if piece is None:
            return
        piece.take_frame(frame)
        if self._vad.speaking and not self._was_speaking:
            begun = now - samples_of_ms(self._settings.vad.start_ms)
            piece.silence += max(0, begun - piece.end)
        self._was_speaking = self._vad.speaking
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
            self._open_piece(now, now, now, over_reply)

    def stop(self, now: int) -> None:
        """End running speech without waiting for silence; whatever follows is new speech."""
        self._end_speech(now)
        if self._open is not None:
            self._close_piece(now, self._open)

    def stop_listening(self, now: int) -> None:
        """End running speech, and ignore the rest of it until it pauses."""
        if self.speaking:
            self._ignoring = True
            self._out.append(ev.SpeechEnded(now, self._vad.speech_end))
        if self._open is not None:
            self._close_piece(now, self._open)

    def _end_speech(self, now: int) -> None:
        stopped = self._vad.stop()
        if stopped is not None:
            self._out.append(ev.SpeechEnded(now, stopped.last_sample))

    def _open_piece(self, first_sample: int, start: int, end: int, over_reply: bool) -> None:
        self._open = piece = Piece(self._next_piece, first_sample, start, end)
        self._was_speaking = True
        self._next_piece += 1
        (self.interjection if over_reply else self.turn).pieces.append(piece)
        self._out.append(m.ListenFrom(piece.number, start))

    def _close_piece(self, now: int, piece: Piece) -> None:
        piece.open = False
        piece.end = max(piece.first_sample, min(piece.end, now))
        self._open = None
        self._last_audio_end = now
        self._out.append(m.ListenStop(piece.number))
        kind = piece.kind(self._settings.vad)
        if kind != "speech" and self.trusts_vad:
            piece.recognized = True  # as nothing
            self._drop_from_turn(now, piece, kind)
            return
        self._out.append(m.ClosePiece(piece.number))
        if piece in self.turn.pieces:
            self._ran_ahead = True
            self._out.append(ev.RunAheadStarted(now, self.turn.numbers))

    def _drop_from_turn(self, now: int, piece: Piece, reason: str) -> None:
        self.drop(now, [piece], reason)
        if piece in self.turn.pieces:
            self.turn.pieces.remove(piece)

    def take_partial(self, now: int, result: m.Partial) -> None:
        """Take the text recognized so far of an open piece."""
        piece = self._find(result.piece)
        if piece is not None and not piece.recognized:
            if result.text != piece.partial_text:
                self._out.append(ev.PartialHeard(now, result.piece, result.text))
            piece.partial_text, piece.recognized_until = result.text, result.until
            piece.echo_text = "" if result.text else result.echo_text

    def take_recognized(self, now: int, result: m.Recognized) -> None:
        """Take the final text of a piece."""
        piece = self._find(result.piece)
        if piece is None:
            return
        text = result.text.strip()
        understood = bool(text) and result.confidence >= self._settings.recognition.min_confidence
        piece.recognized, piece.recognize_ms, piece.recognized_until = True, result.recognize_ms, piece.end
        piece.text, piece.words = (text, result.words) if understood else ("", ())
        piece.finished = result.finished
        piece.echo_text = "" if text else result.echo_text
        costs = (result.confidence, result.recognize_ms)
        self._out.append(ev.PieceRecognized(now, result.piece, result.text, result.words, *costs))
        if not understood and piece in self.turn.pieces:
            self._drop_from_turn(now, piece, Stretch([piece]).unheard_reason)

    def _find(self, number: int) -> Piece | None:
        pieces = (*self.turn.pieces, *self.interjection.pieces)
        return next((piece for piece in pieces if piece.number == number), None)

    def drop(self, now: int, pieces: list[Piece], reason: str) -> None:
        """Drop pieces that will not be answered, except those dropped before."""
        pieces = [piece for piece in pieces if not piece.dropped]
        if not pieces:
            return
        for piece in pieces:
            piece.dropped = True
        numbers = Stretch(pieces).numbers
        texts = (piece.echo_text if reason == "echo" else piece.text for piece in pieces)
        self._out += [ev.SpeechDropped(now, numbers, reason, " ".join(filter(None, texts))), m.Drop(numbers)]

    def drop_run_ahead(self, now: int) -> None:
        """Give up work done ahead, because the person continues the turn."""
        if self.turn and self._ran_ahead:
            self._out.append(ev.RunAheadDropped(now, self.turn.numbers))
        self._ran_ahead = False

    def take_turn(self) -> Stretch:
        """Return the turn, to be answered now, and start an empty one."""
        turn, self.turn = self.turn, Stretch()
        self._ran_ahead = False
        return turn

    def interrupting(self, now: int) -> Interjection:
        """Return what is known about the interjection."""
        said = self.interjection
        silence = 0 if self.speaking else now - said.pieces[-1].end
        kinds = {piece.kind(self._settings.vad) for piece in said.pieces}
        speech_samples = 0
        if "speech" in kinds or not self.trusts_vad:  # all compared speech that is not known to be echo
            compares = self._settings.recognition.partial_every_ms > 0
            for piece in said.pieces:
                end = min(piece.end, piece.recognized_until) if compares else piece.end
                speech_samples += 0 if piece.echo_text else max(0, end - piece.first_sample - piece.silence)
        partial = " ".join(piece.partial_text for piece in said.pieces if not piece.recognized)
        return Interjection(speech_samples, silence, partial, said.text, said.pending)

    def forget_interjection(self, now: int, reason: str) -> None:
        """Drop the interjection, which was not meant to interrupt."""
        self.drop(now, self.interjection.pieces, reason)
        self.interjection = Stretch()

    def drop_turn(self, now: int, reason: str) -> None:
        """Drop the turn and ignore running speech."""
        self.stop_listening(now)
        self.drop(now, self.take_turn().pieces, reason)

    def release(self, now: int, unanswered: Stretch) -> None:
        """Make the understood pieces of the interjection the turn, now that the agent is silent."""
        said = self.interjection.pieces
        nothing = [piece for piece in said if piece.recognized and not piece.text]
        for piece in nothing:
            self.drop(now, [piece], Stretch([piece]).unheard_reason)
        self.turn = Stretch(unanswered.pieces + [piece for piece in said if piece not in nothing])
        self.interjection = Stretch()
