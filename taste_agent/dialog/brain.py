"""What the worker needs from a model."""

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
    """New whole words of a reply; `reason` is `speaking`, `finished`, `max_length` or `interrupted`."""

    words: tuple[Word, ...]
    complete: bool
    reason: str


@dataclass(frozen=True, eq=False, slots=True)
class Sound:
    """Audio of one item, and its words with their ends in the reply."""

    samples: Samples
    words: tuple[Word, ...]


class Brain(Protocol):
    """A model with the state of one conversation.

    Between `settle` calls there is one open exchange: `prefill` opens it and `reply` answers it, or `go_on`
    adds to the last answer. It ends with `settle` (some words were heard) or `discard` (the history is as
    before).
    """

    @property
    def notices(self) -> tuple[str, ...]:
        """What the person should know before the talk begins."""

    def recognizer(self) -> Recognizer:
        """The recognizer, one for the whole session."""

    def tokenize(self, text: str, samples: Samples) -> list[TASTESegment]:
        """User segments (mostly one) of at most 30 s of speech and its text."""

    def text_segment(self, text: str) -> TASTESegment:
        """A user segment that was typed."""

    def prefill(self, segments: list[TASTESegment]) -> float | None:
        """Read user segments; returns the model's probability of speaking now, None if it has none."""

    def reply(self) -> Generator[ReplyItem, None, None]:
        """Answer what was read, item by item, whatever the probability of speaking."""

    def go_on(self) -> Generator[ReplyItem, None, None]:
        """Go on with the answer that was settled last, item by item; its words count from here."""

    def speak(self, item: ReplyItem) -> Sound:
        """The sound of an item, following on the previous one's."""

    def settle(self, heard_words: int) -> None:
        """Keep the heard words of the reply in the history; the rest of it was not said."""

    def take_back(self) -> None:
        """Undo `reply`: what was read is open again, and the answer will draw what this one drew."""

    def discard(self) -> None:
        """Forget the open exchange, if any."""

    def forget(self, segments: Collection[TASTESegment]) -> None:
        """Take these very segments out of the history, for good; an open exchange is discarded."""
