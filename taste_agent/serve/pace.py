"""The session's clock while the client sends nothing. Pure: the caller passes the time."""

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
