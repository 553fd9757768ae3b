"""Bookkeeping of the person's speech: pieces and the turn they form. Pure."""

from dataclasses import dataclass, field

from taste_agent.config import VadSettings
from taste_agent.events import TimedWord
from taste_agent.turns.frames import FrameDecision


@dataclass(slots=True)
class Piece:
    """A stretch of speech between two pauses."""

    number: int
    first_sample: int
    """First sample of speech, without pre-roll."""
    audio_start: int
    """First sample that the recogniser gets."""
    end: int
    """One past the last sample of speech so far."""
    partial_text: str = ""
    text: str = ""
    words: tuple[TimedWord, ...] = ()
    echo_text: str = ""
    """Recognised, but the agent's own words; only where nothing else was."""
    recognised_until: int = 0
    """The recogniser has told what it understood up to this sample."""
    recognise_ms: float = 0.0
    open: bool = True
    recognised: bool = False
    dropped: bool = False
    speech_frames: int = 0
    voiced_frames: int = 0
    steady_frames: int = 0
    steadiness_sum: float = 0.0

    def take_frame(self, frame: FrameDecision) -> None:
        """Counts what the frame tells about the kind of sound."""
        self.voiced_frames += frame.voiced
        self.speech_frames += frame.is_speech
        if frame.steadiness is not None:
            self.steady_frames += 1
            self.steadiness_sum += frame.steadiness

    @property
    def unheard_reason(self) -> str:
        """Why nothing of it counts as the person's, when nothing does."""
        return "echo" if self.echo_text else "nothing_recognised"

    def kind(self, settings: VadSettings) -> str:
        """`speech`, `music` (its harmonics stay in place) or `noise` (it has hardly any pitch)."""
        if self.speech_frames and self.voiced_frames < settings.min_voiced * self.speech_frames:
            return "noise"
        if self.steady_frames and self.steadiness_sum > settings.max_steadiness * self.steady_frames:
            return "music"
        return "speech"


@dataclass(slots=True)
class Stretch:
    """Pieces that belong together: a user turn, or what is said over the agent."""

    pieces: list[Piece] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.pieces)

    @property
    def numbers(self) -> tuple[int, ...]:
        """Numbers of the pieces, in order."""
        return tuple(piece.number for piece in self.pieces)

    @property
    def text(self) -> str:
        """Recognised text of the complete pieces."""
        return " ".join(piece.text for piece in self.pieces if piece.text)

    @property
    def partial_text(self) -> str:
        """What is recognised so far of pieces that are not complete."""
        return " ".join(piece.partial_text for piece in self.pieces if not piece.recognised)

    @property
    def unheard_reason(self) -> str:
        """Why there is no text, when there is none."""
        reasons = {piece.unheard_reason for piece in self.pieces}
        return "echo" if "echo" in reasons else "nothing_recognised"

    @property
    def words(self) -> tuple[TimedWord, ...]:
        """All recognised words."""
        return tuple(word for piece in self.pieces for word in piece.words)

    @property
    def pending(self) -> bool:
        """Whether a piece is still open or not recognised yet."""
        return any(piece.open or not piece.recognised for piece in self.pieces)

    def unknown_samples(self, compared: bool) -> int:
        """Length of the speech that is not known as echo; with `compared` as far as words were looked for."""
        lengths = (
            (min(piece.end, piece.recognised_until) if compared else piece.end) - piece.first_sample
            for piece in self.pieces
            if not piece.echo_text
        )
        return sum(max(0, length) for length in lengths)

    def remove(self, piece: Piece) -> None:
        """Takes a piece out."""
        self.pieces.remove(piece)

    def find(self, number: int) -> Piece | None:
        """The piece with this number, if it is here."""
        return next((piece for piece in self.pieces if piece.number == number), None)
