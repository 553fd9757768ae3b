"""The items and responses of a conversation in the protocol."""

import secrets
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal

from taste_agent.audio.ports import Samples
from taste_agent.clock import ms_of_samples
from taste_agent.serve.errors import ProtocolError
from taste_agent.serve.mind import Tokens, Usage

KEPT_ITEMS = 1000
"""Older items are forgotten, long after the model has forgotten them."""


class Ids:
    """Makes unique names, which are in order within a session."""

    def __init__(self, session: str | None = None) -> None:
        self.session = session or secrets.token_hex(6)
        self._count = count(1)

    def new(self, kind: str) -> str:
        """Return a new name that begins with `kind`."""
        return f"{kind}_{self.session}_{next(self._count):05d}"


@dataclass(slots=True)
class Item:
    """A message. `text` was typed, recognized or said; it is None while unknown."""

    id: str
    role: Literal["user", "assistant"]
    part: Literal["input_text", "input_audio", "output_audio", "output_text"]
    text: str | None = None
    status: Literal["completed", "incomplete", "in_progress"] = "completed"

    def as_json(self) -> dict[str, Any]:
        """Return the item as in events, without its sound."""
        key = "text" if self.part.endswith("text") else "transcript"
        empty = self.role == "assistant" and self.status == "in_progress"
        content = [] if empty else [{"type": self.part, key: self.text}]
        return {
            "id": self.id,
            "object": "realtime.item",
            "type": "message",
            "status": self.status,
            "role": self.role,
            "content": content,
        }


@dataclass(slots=True)
class Waiting:
    """A user's message that waits for a response: text, or (T,) engine samples."""

    item: Item
    text: str = ""
    samples: Samples | None = None


@dataclass(slots=True)
class Items:
    """All items in order, and those that wait for a response."""

    known: dict[str, Item] = field(default_factory=dict)
    waiting: list[Waiting] = field(default_factory=list)

    @property
    def last_id(self) -> str | None:
        """Id of the newest item."""
        return next(reversed(self.known), None)

    def add(self, item: Item) -> str | None:
        """Append an item and return the id of the item before it."""
        previous = self.last_id
        self.known[item.id] = item
        if len(self.known) > KEPT_ITEMS:
            del self.known[next(iter(self.known))]
        return previous

    def remove(self, item_id: str) -> None:
        """Remove an item."""
        self.known.pop(item_id, None)
        self.waiting = [waiting for waiting in self.waiting if waiting.item.id != item_id]

    def get(self, item_id: str, param: str = "item_id") -> Item:
        """Return an item by its id.

        Raises:
            ProtocolError: there is no such item.
        """
        item = self.known.get(item_id)
        if item is None:
            raise ProtocolError("item_not_found", f"there is no item {item_id[:100]!r}", param)
        return item


Status = Literal["in_progress", "completed", "cancelled", "incomplete", "failed"]


@dataclass(slots=True)
class Response:
    """The state of a response. Its timeline is that of the sound that was sent."""

    id: str
    generation: int
    item: Item
    metadata: dict[str, str] | None = None
    status: Status = "in_progress"
    opened: bool = False
    """Whether the client was told of its item."""
    words: list[str] = field(default_factory=list)
    word_ends: list[int] = field(default_factory=list)
    """For each word that was sent completely: the engine samples sent by then."""
    sent_samples: int = 0
    failure: str = ""

    @property
    def text(self) -> str:
        """All words, joined."""
        return " ".join(word.strip() for word in self.words if word.strip())

    @property
    def sent_ms(self) -> int:
        """Duration of the sound that was sent, in milliseconds."""
        return round(ms_of_samples(self.sent_samples))

    def words_until(self, end_ms: int) -> int:
        """Return how many words end within the first `end_ms`."""
        return sum(round(ms_of_samples(end)) <= end_ms for end in self.word_ends)

    def as_json(
        self, output_format: dict[str, Any], voice: str | None, usage: Usage | None = None, reason: str = ""
    ) -> dict[str, Any]:
        """Return the response as in `response.created` and `response.done`."""
        modality = "audio" if self.item.part == "output_audio" else "text"
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": self.status,
            "status_details": self._details(reason),
            "output": [self.item.as_json()] if self.opened and self.status != "in_progress" else [],
            "output_modalities": [modality],
            "audio": {"output": {"format": output_format, "voice": voice}},
            "metadata": self.metadata,
            "usage": None if usage is None else _usage(usage),
        }

    def _details(self, reason: str) -> dict[str, Any] | None:
        if self.status in ("in_progress", "completed"):
            return None
        details: dict[str, Any] = {"type": self.status}
        if self.status == "failed":
            details["error"] = {"type": "server_error", "code": "reply_failed", "message": self.failure}
        else:
            details["reason"] = reason
        return details


def _usage(usage: Usage) -> dict[str, Any]:
    def details(tokens: Tokens) -> dict[str, int]:
        return {"text_tokens": tokens.text, "audio_tokens": tokens.taste}

    cached = {"cached_tokens": usage.remembered.total, "cached_tokens_details": details(usage.remembered)}
    return {
        "total_tokens": usage.read.total + usage.made.total,
        "input_tokens": usage.read.total,
        "output_tokens": usage.made.total,
        "input_token_details": {**details(usage.read), **cached},
        "output_token_details": details(usage.made),
    }


class PartialText:
    """A text that only grows: the words on which two successive transcripts agree."""

    def __init__(self) -> None:
        self._last: list[str] = []
        self.told: list[str] = []

    def take(self, text: str) -> str:
        """Take the newest transcript and return the words that are newly certain."""
        words = text.split()
        agreed = 0
        while agreed < min(len(words), len(self._last)) and words[agreed] == self._last[agreed]:
            agreed += 1
        self._last = words
        if words[: len(self.told)] != self.told or agreed <= len(self.told):
            return ""
        new = words[len(self.told) : agreed]
        lead = " " if self.told else ""
        self.told += new
        return lead + " ".join(new)
