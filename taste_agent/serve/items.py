"""The items of a conversation in the protocol."""

import secrets
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal

from taste_agent.audio.ports import Samples
from taste_agent.serve.errors import ProtocolError

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
