"""The interface between the dialog worker and a model."""

from __future__ import annotations

from collections.abc import Collection, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from taste_agent.audio.ports import Samples
from taste_speech.recognition.base import Recognizer
from taste_speech.words import Word

if TYPE_CHECKING:
    from taste_speech.streaming import TASTESegment


@dataclass(frozen=True, slots=True)
class ReplyItem:
    """New words of a reply; `reason` is `speaking`, `finished`, `max_length` or `interrupted`."""

    words: tuple[Word, ...]
    complete: bool
    reason: str


@dataclass(frozen=True, eq=False, slots=True)
class Sound:
    """The sound of one item, and its words with their ends in the reply."""

    samples: Samples
    words: tuple[Word, ...]


class Brain(Protocol):
    """A model with the state of one conversation.

    One exchange is open at a time: `prefill` opens it and `reply` answers it, or `go_on` continues the last
    answer. `settle` ends it after some words were heard; `discard` restores the history before it.
    """

    @property
    def notices(self) -> tuple[str, ...]:
        """Messages for the person before the talk begins."""

    def recognizer(self) -> Recognizer:
        """Return the recognizer, which is the same for the whole session."""

    def tokenize(self, text: str, samples: Samples) -> list[TASTESegment]:
        """Return the user segments (usually one) of up to 30 s of speech with its text."""

    def text_segment(self, text: str) -> TASTESegment:
        """Return a user segment of typed text."""

    def prefill(self, segments: list[TASTESegment]) -> float | None:
        """Read user segments; return the model's probability of speaking now, if it has one."""

    def reply(self) -> Generator[ReplyItem, None, None]:
        """Answer the open exchange item by item, regardless of the probability of speaking."""

    def go_on(self) -> Generator[ReplyItem, None, None]:
        """Continue the answer that was settled last; words are counted from here."""

    def speak(self, item: ReplyItem) -> Sound:
        """Return the sound of an item, which continues that of the previous item."""

    def settle(self, heard_words: int) -> None:
        """Keep the heard words of the reply in the history, and drop the rest."""

    def take_back(self) -> None:
        """Undo `reply`: reopen the exchange, and restore the random state for the next answer."""

    def discard(self) -> None:
        """Drop the open exchange, if any."""

    def forget(self, segments: Collection[TASTESegment]) -> None:
        """Remove these segments (by identity) from the history, and drop the open exchange."""
