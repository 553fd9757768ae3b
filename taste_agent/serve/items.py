"""The items of a conversation as the protocol knows them."""

import secrets
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal

from taste_agent.audio.ports import Samples
from taste_agent.serve.errors import ProtocolError

KEPT_ITEMS = 1000
"""Older ones are forgotten; the model has forgotten them long before."""


class Ids:
    """Names that are unique, and in order within a session."""

    def __init__(self, session: str | None = None) -> None:
        self.session = session or secrets.token_hex(6)
        self._count = count(1)

    def new(self, kind: str) -> str:
        """A name that begins with `kind`."""
        return f"{kind}_{self.session}_{next(self._count):05d}"


@dataclass(slots=True)
class Item:
    """A message. `text` is what was typed, recognized or said; None while it is not known."""

    id: str
    role: Literal["user", "assistant"]
    part: Literal["input_text", "input_audio", "output_audio", "output_text"]
    text: str | None = None
    status: Literal["completed", "incomplete", "in_progress"] = "completed"

    def as_json(self) -> dict[str, Any]:
        """As events have it: without sound."""
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
    """A user's message that no response has answered: text, or (T,) engine samples."""

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
        """The newest item."""
        return next(reversed(self.known), None)

    def add(self, item: Item) -> str | None:
        """Appends an item; returns the id of the one before it."""
        previous = self.last_id
        self.known[item.id] = item
        if len(self.known) > KEPT_ITEMS:
            del self.known[next(iter(self.known))]
        return previous

    def remove(self, item_id: str) -> None:
        """Forgets an item."""
        self.known.pop(item_id, None)
        self.waiting = [waiting for waiting in self.waiting if waiting.item.id != item_id]

    def get(self, item_id: str, param: str = "item_id") -> Item:
        """An item.

        Raises:
            ProtocolError: there is none with this id.
        """
        item = self.known.get(item_id)
        if item is None:
            raise ProtocolError("item_not_found", f"there is no item {item_id[:100]!r}", param)
        return item
