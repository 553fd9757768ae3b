"""Everything that happens in a session, as frozen messages.

`at` is the input sample at which it happened (see `taste_agent.clock`). Terms used everywhere:

* *end of speech*: the last sample of speech.
* *end of turn*: the decision that the person has finished.
* *first audio*: the moment when the first sample of a reply goes to playback.
* *waited* = *silence* (end of speech to end of turn) + *computing* (end of turn to first audio) + *card*
  (latency of the sound card for input and output; 0 for files).
* The stages of computing: *recognize* the words, *tokenize* how they were said, *read* them into the model,
  *think* of the first words of the reply, and give them a *voice*. Some run during the silence.
"""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from taste_speech.words import Word


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events."""

    at: int

    @property
    def kind(self) -> str:
        """Name of the event in logs: the class name in snake case."""
        name = type(self).__name__
        return "".join(f"_{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(name))

    def to_json(self) -> str:
        """Return one line of JSON that starts with `kind`. Rounded floats make logs comparable."""
        fields = dataclasses.asdict(self, dict_factory=_logged)
        return json.dumps({"kind": self.kind, **rounded(fields)}, ensure_ascii=False)


def _logged(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """Leave the tokens of words out of the log."""
    return {name: value for name, value in fields if name not in ("ids", "taste")}


def rounded(value: Any) -> Any:
    """Return `value` for JSON: floats rounded to three digits after the point, tuples as lists."""
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return value


TYPING = "typing"
"""Source of a session without a microphone."""


@dataclass(frozen=True, slots=True)
class SessionStarted(Event):
    """The first event."""

    source: str
    """Name of the file or microphone, or `TYPING`."""
    model: str
    frame_samples: int
    sampling_rate_hz: int


@dataclass(frozen=True, slots=True)
class SpeechStarted(Event):
    """The VAD is sure that somebody is speaking."""

    first_sample: int
    """First sample of the speech, which is before `at`."""


@dataclass(frozen=True, slots=True)
class SpeechEnded(Event):
    """The VAD is sure that the speech has paused or ended."""

    last_sample: int
    """End of speech: one past the last sample of speech."""


@dataclass(frozen=True, slots=True)
class PartialHeard(Event):
    """The text recognized so far in the current piece of speech; it may still change."""

    piece: int
    text: str


@dataclass(frozen=True, slots=True)
class PieceRecognized(Event):
    """The recognizer has finished a piece of speech. `text` is empty if nothing was understood."""

    piece: int
    text: str
    words: tuple[Word, ...]
    confidence: float
    recognize_ms: float


@dataclass(frozen=True, slots=True)
class SpeechDropped(Event):
    """Speech or another sound that is not answered.

    `reason` is `nothing_recognized`, `backchannel`, `noise`, `music`, `echo`, `failed`, `typed` (typed text
    replaced it) or `unanswered` (the model had nothing to say, or the rest took too long to come). For an
    echo, `text` is what was recognized of the agent's own words.
    """

    pieces: tuple[int, ...]
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class PieceCut(Event):
    """Long speech was cut into another piece, at a pause or at the limit."""

    piece: int
    cut_sample: int
    at_pause: bool


@dataclass(frozen=True, slots=True)
class RunAheadStarted(Event):
    """Recognition, tokenizing and prefill have begun, although the person might go on."""

    pieces: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RunAheadReady(Event):
    """Run-ahead is done. `speaking_probability` comes from the model, or is None if it has no estimate.

    `over_probability` is that of the end of the turn, by which the agent decides how long it waits.
    """

    pieces: tuple[int, ...]
    speaking_probability: float | None
    over_probability: float | None
    tokenize_ms: float
    read_ms: float


@dataclass(frozen=True, slots=True)
class RunAheadDropped(Event):
    """The person went on, so what was computed ahead is thrown away."""

    pieces: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TurnEnded(Event):
    """The person has finished, and the reply with this `generation` is requested."""

    generation: int
    pieces: tuple[int, ...]
    end_of_speech: int
    silence_ms: float
    speaking_probability: float | None
    reason: str
    """`silence`, `typed`, `muted`, `push_to_talk` or `key` (the interrupt key)."""


@dataclass(frozen=True, slots=True)
class UserTurn(Event):
    """The final text that the reply answers."""

    generation: int
    text: str
    words: tuple[Word, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class NoSpeech(Event):
    """The model had nothing to say."""

    generation: int


@dataclass(frozen=True, slots=True)
class ReplyChunk(Event):
    """A chunk of the reply is ready, but not heard yet."""

    generation: int
    words: tuple[str, ...]
    samples: int
    think_ms: float
    voice_ms: float


@dataclass(frozen=True, slots=True)
class ReplyGenerated(Event):
    """The model has finished the reply: `finished`, `max_length` or `interrupted`."""

    generation: int
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class FirstAudio(Event):
    """The first sample of a reply goes to playback. The fields say why the person had to wait."""

    generation: int
    silence_ms: float
    """From end of speech to end of turn; 0 for typed text."""
    computing_ms: float
    """From end of turn to first audio."""
    card_ms: float
    """Latency of the sound card, for input and output together."""
    recognize_ms: float
    tokenize_ms: float
    read_ms: float
    think_ms: float
    voice_ms: float

    @property
    def latency_ms(self) -> dict[str, float]:
        """Milliseconds by name, starting with `waited`."""
        names = [field.name for field in dataclasses.fields(self) if field.name.endswith("_ms")]
        parts = {name.removesuffix("_ms"): float(getattr(self, name)) for name in names}
        return {"waited": self.silence_ms + self.computing_ms + self.card_ms, **parts}


@dataclass(frozen=True, slots=True)
class WordHeard(Event):
    """A word of the reply has been played to its end."""

    generation: int
    index: int
    text: str


@dataclass(frozen=True, slots=True)
class PlaybackPaused(Event):
    """Somebody is speaking over the agent: playback fades out and waits."""

    generation: int
    speech_first_sample: int


@dataclass(frozen=True, slots=True)
class PlaybackResumed(Event):
    """The interruption was nothing to answer: playback resumes at a word boundary."""

    generation: int
    reason: str
    from_word: int


@dataclass(frozen=True, slots=True)
class ReplyCancelled(Event):
    """The reply was interrupted. `heard_text` stays in the history; `cut_text` was not heard."""

    generation: int
    reason: str
    """`speech`, `word`, `key`, `client`, `typed`, `closed` or `failed`."""
    heard_words: int
    heard_text: str
    cut_text: str


@dataclass(frozen=True, slots=True)
class ReplyTakenUp(Event):
    """The last interruption was nothing to answer: the reply goes on under a new `generation`."""

    generation: int


@dataclass(frozen=True, slots=True)
class ReplyFinished(Event):
    """The reply was heard to the end."""

    generation: int
    text: str
    underruns: int
    audio_ms: float
    rtf: float
    """Compute time of the reply divided by its audio time."""


@dataclass(frozen=True, slots=True)
class Underrun(Event):
    """Playback ran dry for `gap_samples` in the middle of a reply."""

    generation: int
    gap_samples: int


@dataclass(frozen=True, slots=True)
class Notice(Event):
    """One line that the person should see, such as a lost device."""

    level: str
    """`info`, `warning` or `error`."""
    text: str


@dataclass(frozen=True, slots=True)
class SessionEnded(Event):
    """The last event."""

    reason: str
    """`end_of_input`, `quit`, `interrupted`, `terminated` or `failed`."""
