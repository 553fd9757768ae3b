"""Options of a server, limits of a session, and its clock. Pure: the caller passes the time."""

from dataclasses import dataclass, field

from taste_agent.serve.access import Access

MAX_MESSAGE_BYTES = 4 * 2**20
"""Enough for a minute of 24 kHz audio in base64; a longer recording takes several messages."""
MOST_MESSAGE_BYTES = 16 * 2**20
"""A longer message is not read: the connection is closed."""


@dataclass(frozen=True)
class Limits:
    """Limits of one session; a client that exceeds one gets an error.

    Attributes:
        session_s: longest duration of a session.
        idle_s: longest time without a word or a reply.
        messages_per_s: messages per second.
        audio_per_s: average seconds of audio that may arrive per second.
        audio_burst_s: seconds of audio that may arrive at once.
        buffer_s: seconds of audio that may wait for a commit.
        send_s: how long a client may take to receive a message.
        pending_items: items that may wait for a response.
    """

    session_s: float = 3600.0
    idle_s: float = 600.0
    messages_per_s: float = 500.0
    audio_per_s: float = 2.0
    audio_burst_s: float = 120.0
    buffer_s: float = 120.0
    send_s: float = 10.0
    pending_items: int = 100


@dataclass(frozen=True)
class ServeOptions:
    """Options of `taste-agent serve`.

    Attributes:
        access: who may connect.
        port: port to listen on; 0 picks a free one.
        max_sessions: conversations at once; None measures how many this machine can hold.
        limits: limits of each session.
        drain_s: how long the server waits for replies to end after a signal.
    """

    access: Access
    port: int
    max_sessions: int | None = None
    limits: Limits = field(default_factory=Limits)
    drain_s: float = 20.0


class Budget:
    """An allowance that refills at `per_s`, up to `reserve`."""

    def __init__(self, per_s: float, reserve: float, now_s: float) -> None:
        self._per_s, self._reserve = per_s, reserve
        self._left, self._at_s = reserve, now_s

    def spend(self, amount: float, now_s: float) -> bool:
        """Spend `amount` and return True, or return False if less than that is left."""
        self._left = min(self._reserve, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if amount > self._left:
            return False
        self._left -= amount
        return True


STALL_S = 0.25
"""A client whose network stalls for less than this gets no silence in place of its audio."""
MOST_S = 1.0
"""Most silence that is made up for at once."""


class SilencePace:
    """Counts the frames of silence that replace missing audio, in real time."""

    def __init__(self, frame_s: float, now_s: float) -> None:
        self._frame_s = frame_s
        self._due_s = now_s

    def heard(self, now_s: float) -> None:
        """Note that the client has sent audio."""
        self._due_s = max(self._due_s, now_s + STALL_S)

    def rest(self, now_s: float) -> None:
        """Note that no answer is pending: the clock stands still."""
        self._due_s = max(self._due_s, now_s)

    def due_frames(self, now_s: float) -> int:
        """Return how many frames of silence are due now, and count them as made."""
        self._due_s = max(self._due_s, now_s - MOST_S)
        count = max(0, int((now_s - self._due_s) / self._frame_s))
        self._due_s += count * self._frame_s
        return count
