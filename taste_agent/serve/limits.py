"""What a client may do in which time. Pure: the time is given."""

from dataclasses import dataclass

MAX_MESSAGE_BYTES = 4 * 2**20
"""A minute of 24 kHz in base64; a longer recording comes in several messages."""
MOST_MESSAGE_BYTES = 16 * 2**20
"""Beyond this nothing is read any more: the connection is closed."""


@dataclass(frozen=True)
class Limits:
    """Bounds of one session; a client beyond them is told so."""

    session_s: float = 3600.0
    idle_s: float = 600.0
    """Without a word or a reply."""
    messages_per_s: float = 500.0
    audio_per_s: float = 2.0
    """Seconds of sound that may come in a second, on average."""
    audio_burst_s: float = 120.0
    buffer_s: float = 120.0
    """Sound that waits for a commit."""
    send_s: float = 10.0
    """How long a client may take to receive a message."""
    pending_items: int = 100
    text_characters: int = 8000


class Budget:
    """Something that may be spent at a rate, with a reserve."""

    def __init__(self, per_s: float, reserve: float, now_s: float) -> None:
        self._per_s, self._reserve = per_s, reserve
        self._left, self._at_s = reserve, now_s

    def spend(self, amount: float, now_s: float) -> bool:
        """Take `amount`, if there is as much; returns whether there was."""
        self._left = min(self._reserve, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if amount > self._left:
            return False
        self._left -= amount
        return True
