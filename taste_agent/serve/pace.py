"""When the session's clock goes on although the client sends nothing. Pure: the time is given."""

STALL_S = 0.25
"""A client that sends may be held up by its network for so long without silence being put in its place."""
MOST_S = 1.0
"""More is not made up for at once."""


class SilencePace:
    """Frames of silence that are due where a client sends none, at the pace of the wall clock."""

    def __init__(self, frame_s: float, now_s: float) -> None:
        self._frame_s = frame_s
        self._due_s = now_s

    def heard(self, now_s: float) -> None:
        """The client has sent sound."""
        self._due_s = max(self._due_s, now_s + STALL_S)

    def rest(self, now_s: float) -> None:
        """Nothing is owed: the clock stands still."""
        self._due_s = max(self._due_s, now_s)

    def due_frames(self, now_s: float) -> int:
        """How many frames of silence are due now; they are taken as made."""
        self._due_s = max(self._due_s, now_s - MOST_S)
        count = max(0, int((now_s - self._due_s) / self._frame_s))
        self._due_s += count * self._frame_s
        return count
