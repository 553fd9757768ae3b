"""A response of the protocol: a reply of the session, from its first word to its end."""

from dataclasses import dataclass, field
from typing import Any, Literal

from taste_agent.clock import ms_of_samples
from taste_agent.serve.items import Item
from taste_agent.serve.mind import Tokens, Usage

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
