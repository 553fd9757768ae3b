"""Messages between the turn manager, the session and the dialog worker.

The manager gives orders to the session, which passes commands on to the worker; the worker returns results.
Commands are executed in order, except that hearing goes before speaking. Positions are samples, counted from
the start of the session for the person's audio and from the start of the reply for the agent's.
"""

from dataclasses import dataclass

from taste_agent.audio.ports import Samples
from taste_agent.events import Event
from taste_speech.words import Word


@dataclass(frozen=True, eq=False, slots=True)
class Hear:
    """Audio of a piece of speech; the first one opens the piece."""

    piece: int
    start: int
    """Input sample at which `samples` begin."""
    samples: Samples
    silent: bool = False
    """Whether the person has paused, so that the end of the piece may follow at once."""


@dataclass(frozen=True, slots=True)
class ClosePiece:
    """Recognize the piece to its end; answered by `Recognized`."""

    piece: int


@dataclass(frozen=True, slots=True)
class Prepare:
    """Tokenize these pieces and read them into the model ahead of the decision; answered by `Prepared`."""

    pieces: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """Reply to these pieces; answered by `Spoken` chunks and `Generated`."""

    generation: int
    pieces: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AnswerText:
    """Reply to typed text."""

    generation: int
    text: str


@dataclass(frozen=True, slots=True)
class GoOn:
    """Forget the open turn, and continue the reply that was settled last."""

    generation: int


@dataclass(frozen=True, slots=True)
class Settle:
    """Keep the heard words of the reply in the history; if there are none, reopen the turn."""

    generation: int
    heard_words: int


@dataclass(frozen=True, slots=True)
class Drop:
    """Remove these pieces from the conversation."""

    pieces: tuple[int, ...]


ITS_TURN = 0.5
"""Probability of speaking above which the model considers it its turn."""

ReplyCommand = Answer | AnswerText | GoOn | Settle
Command = Hear | ClosePiece | Prepare | ReplyCommand | Drop


@dataclass(frozen=True, slots=True)
class Partial:
    """Text of an open piece up to input sample `until`; `echo_text` is the agent's own."""

    piece: int
    text: str
    until: int
    echo_text: str = ""


@dataclass(frozen=True, slots=True)
class Recognized:
    """Text of a closed piece, empty if nothing was understood; `echo_text` was the agent's own.

    `finished` is that of `Recognition`.
    """

    piece: int
    text: str
    words: tuple[Word, ...]
    confidence: float
    recognize_ms: float
    echo_text: str = ""
    finished: float | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """The model has read these pieces; the probability is None for a checkpoint without that choice."""

    pieces: tuple[int, ...]
    speaking_probability: float | None
    tokenize_ms: float
    prefill_ms: float


@dataclass(frozen=True, eq=False, slots=True)
class Spoken:
    """The next chunk of the reply's sound, and its words with their ends.

    `tokenize_ms` and `prefill_ms` are the costs of the turn before its first chunk, and 0 in later chunks.
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
    """The reply is complete; `reason` is `finished`, `max_length` or `interrupted`, `text` may be empty."""

    generation: int
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A step failed with an error that a person can understand; the worker continues."""

    generation: int | None
    text: str


Result = Partial | Recognized | Prepared | Spoken | Generated | Failed


@dataclass(frozen=True, slots=True)
class ListenFrom:
    """Pass the audio from input sample `start` on to the worker as this piece."""

    piece: int
    start: int


@dataclass(frozen=True, slots=True)
class ListenStop:
    """End the piece with the current frame."""

    piece: int


@dataclass(frozen=True, slots=True)
class Play:
    """Append a chunk to playback; `Generated` means that no more chunks will come."""

    chunk: Spoken | Generated


@dataclass(frozen=True, slots=True)
class Silence:
    """Stop playback, to be resumed or for good."""

    for_good: bool
    cut: bool
    """Whether the loudspeaker drops the samples in its queue."""
    unheard_words: int | None = None
    """Words that were pulled but will not be heard; None if output has no latency."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Resume playback from the start of the interrupted word."""


Order = Command | ListenFrom | ListenStop | Play | Silence | Resume | Event
