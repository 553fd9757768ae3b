"""What the session and the dialog worker say to each other: frozen messages, audio included.

Commands are executed in order, except that hearing goes before speaking. Positions are samples: of the
session for the person's audio, of the reply for the agent's.
"""

from dataclasses import dataclass

from taste_agent.audio.ports import Samples
from taste_speech.words import Word


@dataclass(frozen=True, eq=False, slots=True)
class Hear:
    """Audio of a piece; the first one opens it.

    Attributes:
        piece: number of the piece.
        start: input sample of the first of `samples`.
        samples: what was heard since.
        silent: whether the person has paused; the end of the piece may follow at once.
    """

    piece: int
    start: int
    samples: Samples
    silent: bool = False


@dataclass(frozen=True, slots=True)
class ClosePiece:
    """The piece is complete: recognize it to its end. Answered by `Recognized`."""

    piece: int


@dataclass(frozen=True, slots=True)
class Prepare:
    """Tokenize these pieces and read them into the model, ahead of the decision. Answered by `Prepared`."""

    pieces: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """Reply to these pieces. Answered by `Spoken` chunks and `Generated`."""

    generation: int
    pieces: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AnswerText:
    """Reply to something typed."""

    generation: int
    text: str


@dataclass(frozen=True, slots=True)
class GoOn:
    """Forget the turn that waits, and go on with the reply that was settled last."""

    generation: int


@dataclass(frozen=True, slots=True)
class Settle:
    """The reply is over: the history keeps the heard words; after none of them the turn is open again."""

    generation: int
    heard_words: int


@dataclass(frozen=True, slots=True)
class Drop:
    """These pieces are not part of the conversation."""

    pieces: tuple[int, ...]


ITS_TURN = 0.5
"""From this probability of speaking on the model thinks that it is its turn."""

ReplyCommand = Answer | AnswerText | GoOn | Settle
Command = Hear | ClosePiece | Prepare | ReplyCommand | Drop


@dataclass(frozen=True, slots=True)
class Partial:
    """What has been recognized of an open piece, up to input sample `until`. `echo_text` is the agent's."""

    piece: int
    text: str
    until: int
    echo_text: str = ""


@dataclass(frozen=True, slots=True)
class Recognized:
    """The text of a closed piece; empty when nothing was understood. `echo_text` was the agent's own.

    `finished` is as in `Recognition`.
    """

    piece: int
    text: str
    words: tuple[Word, ...]
    confidence: float
    recognize_ms: float
    echo_text: str = ""
    finished: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    """The model has read these pieces. The probability is None where the checkpoint has no such choice."""

    pieces: tuple[int, ...]
    speaking_probability: float | None
    tokenize_ms: float
    prefill_ms: float


@dataclass(frozen=True, eq=False, slots=True)
class Spoken:
    """A chunk of the reply's sound, following on the previous one; its words with their ends.

    `tokenize_ms` and `prefill_ms` are what the turn cost before its first chunk (0 in later ones).
    """

    generation: int
    samples: Samples
    words: tuple[Word, ...]
    tokenize_ms: float
    prefill_ms: float
    generate_ms: float
    detokenize_ms: float


@dataclass(frozen=True, slots=True)
class Generated:
    """The reply is complete: `finished`, `max_length` or `interrupted`; `text` is empty if there is none."""

    generation: int
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A step failed with an error that a person can understand; the worker goes on."""

    generation: int | None
    text: str


Result = Partial | Recognized | Prepared | Spoken | Generated | Failed
