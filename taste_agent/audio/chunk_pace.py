"""When the next chunk of a reply is to be expected, from how long the last ones took. Pure."""

from collections import deque

# Of this reply and the one or two before it: how fast chunks come changes with what else the machine does.
RECENT_CHUNKS = 6
# Chunks grow, and some take longer than others.
MARGIN = 1.5


class ChunkPace:
    """Measures the time between chunks in samples that were asked for meanwhile."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._intervals: deque[int] = deque(maxlen=RECENT_CHUNKS)
        self._since = 0
        self._disturbed = False

    def begin(self) -> None:
        """The first chunk of a reply is asked for."""
        self._since = 0
        self._disturbed = False

    def passed(self, count: int) -> None:
        """So many samples of time have passed."""
        self._since += count

    def disturb(self) -> None:
        """The chunk that is made now may be waiting for something else: it tells nothing."""
        self._disturbed = True

    def arrived(self) -> None:
        """A chunk is there, and the next one is begun."""
        if not self._disturbed:
            self._intervals.append(self._since)
        self.begin()

    @property
    def next_due(self) -> int:
        """Samples until the next chunk is there, on the safe side; 0 where nothing is known."""
        if not self._intervals:
            return 0
        expected = MARGIN * sum(self._intervals) / len(self._intervals)
        return max(0, round(expected) - self._since)
