"""Bookkeeping of the person's speech: pieces and the turn they form. Pure."""

from dataclasses import dataclass, field

from taste_agent.events import TimedWord


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
    recognise_ms: float = 0.0
    open: bool = True
    recognised: bool = False


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
    def words(self) -> tuple[TimedWord, ...]:
        """All recognised words."""
        return tuple(word for piece in self.pieces for word in piece.words)

    @property
    def pending(self) -> bool:
        """Whether a piece is still open or not recognised yet."""
        return any(piece.open or not piece.recognised for piece in self.pieces)

    @property
    def speech_samples(self) -> int:
        """Length of the speech itself."""
        return sum(piece.end - piece.first_sample for piece in self.pieces)

    def remove(self, piece: Piece) -> None:
        """Takes a piece out."""
        self.pieces.remove(piece)

    def find(self, number: int) -> Piece | None:
        """The piece with this number, if it is here."""
        return next((piece for piece in self.pieces if piece.number == number), None)
