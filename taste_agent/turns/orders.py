"""What the turn manager wants done, in order. The events among it tell what happened and command nothing."""

from dataclasses import dataclass

from taste_agent import events as ev
from taste_agent.dialog import messages as m


@dataclass(frozen=True, slots=True)
class ListenFrom:
    """Hand audio from this sample on to the worker as this piece."""

    piece: int
    start: int


@dataclass(frozen=True, slots=True)
class ListenStop:
    """The piece is complete with the current frame."""

    piece: int


@dataclass(frozen=True, slots=True)
class Play:
    """Append a chunk to what is played; `Generated`: no more chunks will come."""

    chunk: m.Spoken | m.Generated


@dataclass(frozen=True, slots=True)
class Silence:
    """Stop playback: to be resumed, or for good."""

    for_good: bool
    cut: bool
    """Whether the loudspeaker drops what it still holds."""
    unheard_words: int | None = None
    """Words that were played and are not heard because of it; None where nothing delays the sound."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on from the start of the word in which playback was stopped."""


Order = m.Command | ListenFrom | ListenStop | Play | Silence | Resume | ev.Event
