"""What the turn manager wants done, beside its events and the worker's commands."""

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


Output = m.Command | ev.Event | ListenFrom | ListenStop
