"""Everything that happens in a session, as frozen messages.

`at` is the input sample at which it happened (see `taste_agent.clock`). Words used everywhere:

* *end of speech*: the last sample of speech.
* *end of turn*: the decision that the person has finished.
* *first audio*: the first sample of a reply handed to playback.
* *waited* = *silence* (end of speech to end of turn) + *computing* (from there to first audio) + *card* (what
  the sound card takes to hear and to play; 0 for files).
* The stages of computing: *recognize* the words, *tokenize* how they were said, *read* them into the model,
  *think* of the first words of the reply, and give them their *voice*. Some run during the silence.
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
        """One line of JSON with `kind` first; floats are rounded so that logs compare byte by byte."""
        fields = dataclasses.asdict(self, dict_factory=_logged)
        return json.dumps({"kind": self.kind, **rounded(fields)}, ensure_ascii=False)


def _logged(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a word the log has its text and times; heard ones have no tokens."""
    return {name: value for name, value in fields if name not in ("ids", "taste")}


def rounded(value: Any) -> Any:
    """`value` for JSON: reals in it with three digits after the point, tuples as lists."""
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return value


TYPING = "typing"
"""The source of a session without a microphone."""


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
    """The VAD is sure that somebody speaks."""

    first_sample: int
    """First sample of the speech (before `at` by the hysteresis)."""


@dataclass(frozen=True, slots=True)
class SpeechEnded(Event):
    """The VAD is sure that the speech has paused or ended."""

    last_sample: int
    """End of speech: one past the last sample of speech."""


@dataclass(frozen=True, slots=True)
class PartialHeard(Event):
    """What has been recognized of the running piece so far (may still change)."""

    piece: int
    text: str


@dataclass(frozen=True, slots=True)
class PieceRecognized(Event):
    """The recognizer has finished a piece of speech; `text` is empty when nothing was understood."""

    piece: int
    text: str
    words: tuple[Word, ...]
    confidence: float
    recognize_ms: float


@dataclass(frozen=True, slots=True)
class SpeechDropped(Event):
    """Speech or sound that is not answered.

    `reason` is `nothing_recognized`, `backchannel`, `noise`, `music`, `echo`, `failed`, `typed` (something
    typed took its place) or `unanswered` (the model had nothing to say to it, or waiting for more of it took
    too long). Of an echo `text` is what was recognized of the agent's own words.
    """

    pieces: tuple[int, ...]
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class PieceCut(Event):
    """Speech went on for so long that it was cut at a pause (or at the limit) into a further piece."""

    piece: int
    cut_sample: int
    at_pause: bool


@dataclass(frozen=True, slots=True)
class RunAheadStarted(Event):
    """Recognition, tokenizing and prefill have begun although the person might go on."""

    pieces: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RunAheadReady(Event):
    """Run-ahead is done; `speaking_probability` is the model's own, None if it has none."""

    pieces: tuple[int, ...]
    speaking_probability: float | None
    tokenize_ms: float
    read_ms: float


@dataclass(frozen=True, slots=True)
class RunAheadDropped(Event):
    """The person went on; what was computed ahead is thrown away."""

    pieces: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TurnEnded(Event):
    """The decision that the person has finished; the reply with this `generation` is asked for."""

    generation: int
    pieces: tuple[int, ...]
    end_of_speech: int
    silence_ms: float
    speaking_probability: float | None
    reason: str
    """`silence`, `typed`, `muted`, `push_to_talk` or `key` (which takes the floor)."""


@dataclass(frozen=True, slots=True)
class UserTurn(Event):
    """What the reply answers, final."""

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
    """A chunk of the reply is ready (not yet heard)."""

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
    """The first sample of a reply is handed to playback; how long the person waits for it to be heard."""

    generation: int
    silence_ms: float
    """End of turn minus end of speech; 0 for something typed."""
    computing_ms: float
    """First audio minus end of turn."""
    card_ms: float
    """What the sound card takes for the person's last sound and for the agent's first one."""
    recognize_ms: float
    tokenize_ms: float
    read_ms: float
    think_ms: float
    voice_ms: float

    @property
    def latency_ms(self) -> dict[str, float]:
        """Milliseconds by name, `waited` first."""
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
    """Somebody speaks over the agent: playback fades out and waits."""

    generation: int
    speech_first_sample: int


@dataclass(frozen=True, slots=True)
class PlaybackResumed(Event):
    """It was nothing: playback goes on from a word boundary."""

    generation: int
    reason: str
    from_word: int


@dataclass(frozen=True, slots=True)
class ReplyCancelled(Event):
    """The person took the floor. `heard_text` stays in the history, `cut_text` was not heard."""

    generation: int
    reason: str
    """`speech`, `word`, `key`, `client`, `typed`, `closed` or `failed`."""
    heard_words: int
    heard_text: str
    cut_text: str


@dataclass(frozen=True, slots=True)
class ReplyTakenUp(Event):
    """What had interrupted the last reply was nothing to answer: it goes on as the reply `generation`."""

    generation: int


@dataclass(frozen=True, slots=True)
class ReplyFinished(Event):
    """The reply has been heard to its end."""

    generation: int
    text: str
    underruns: int
    audio_ms: float
    rtf: float
    """Compute time of the reply divided by its audio time."""


@dataclass(frozen=True, slots=True)
class Underrun(Event):
    """Playback ran dry for `gap_samples` although more was to come."""

    generation: int
    gap_samples: int


@dataclass(frozen=True, slots=True)
class Notice(Event):
    """Something that the person should know, one line (device lost, half duplex, ...)."""

    level: str
    """`info`, `warning` or `error`."""
    text: str


@dataclass(frozen=True, slots=True)
class SessionEnded(Event):
    """The last event."""

    reason: str
    """`end_of_input`, `quit`, `interrupted`, `terminated` or `failed`."""
