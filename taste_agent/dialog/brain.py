"""What the worker needs from a model: hear, read, reply, speak, remember what was heard."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from taste_agent.audio.ports import Samples
from taste_agent.dialog.messages import SpokenWord
from taste_speech.recognition.base import Recognizer


@dataclass(frozen=True, slots=True)
class ReplyItem:
    """New whole words of a reply; `tokens` is the model's own form of them."""

    words: tuple[str, ...]
    tokens: Any
    complete: bool
    reason: str
    """`speaking`, `finished`, `max_length` or `interrupted`."""


@dataclass(frozen=True, eq=False, slots=True)
class Sound:
    """Audio of one item and where the words end in the reply."""

    samples: Samples
    words: tuple[SpokenWord, ...]


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
        """The recogniser, one for the whole session."""

    def tokenize(self, text: str, samples: Samples) -> list[Any]:
        """User segments (mostly one) of at most 30 s of speech and its text."""

    def text_segment(self, text: str) -> Any:
        """A user segment that was typed."""

    def prefill(self, segments: list[Any]) -> float | None:
        """Reads user segments; returns the model's probability of speaking now, None if it has none."""

    def reply(self) -> Iterator[ReplyItem]:
        """Answers what was read, item by item, whatever the probability of speaking."""

    def go_on(self) -> Iterator[ReplyItem]:
        """Goes on with the answer that was settled last, item by item; its words count from here."""

    def speak(self, item: ReplyItem) -> Sound:
        """The sound of an item, following on the previous one's."""

    def settle(self, heard_words: int) -> None:
        """Keeps the heard words of the reply in the history; the rest of it was not said."""

    def discard(self) -> None:
        """Forgets the open exchange, if any."""
