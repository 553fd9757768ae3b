"""Sample storage between exactly one writing and one reading thread, without locks and without allocation."""

from __future__ import annotations

import numpy as np

from taste_agent.audio.ports import Samples


class RingBuffer:
    """A fixed buffer of mono samples for one writer and one reader.

    Positions are absolute counts that only grow; the writer alone changes `written`, the reader alone
    changes `taken`, and each is stored only after its samples were copied. That order is what makes the
    buffer safe without a lock, so that an audio callback never waits for another thread.
    """

    def __init__(self, capacity_samples: int) -> None:
        """Make room for `capacity_samples`; a `ValueError` follows where that is not positive."""
        if capacity_samples <= 0:
            raise ValueError(f"capacity_samples is {capacity_samples}; a ring buffer needs at least 1")
        self._samples = np.zeros(capacity_samples, dtype=np.float32)
        self.written = 0
        self.taken = 0
        self.dropped_samples = 0

    @property
    def capacity_samples(self) -> int:
        """How many samples fit."""
        return self._samples.size

    @property
    def available(self) -> int:
        """Samples that the reader can take now."""
        return self.written - self.taken

    @property
    def free(self) -> int:
        """Samples that the writer can add now."""
        return self.capacity_samples - self.available

    def write(self, samples: Samples) -> int:
        """Store what fits of `samples` (T,); returns how many. The rest is counted in `dropped_samples`."""
        count = min(samples.size, self.free)
        start = self.written % self.capacity_samples
        first = min(count, self.capacity_samples - start)
        self._samples[start : start + first] = samples[:first]
        self._samples[: count - first] = samples[first:count]
        self.written += count
        self.dropped_samples += samples.size - count
        return count

    def read_into(self, out: Samples) -> int:
        """Fill the head of `out` (T,) with the oldest samples and forget them here; returns how many."""
        count = min(out.size, self.available)
        start = self.taken % self.capacity_samples
        first = min(count, self.capacity_samples - start)
        out[:first] = self._samples[start : start + first]
        out[first:count] = self._samples[: count - first]
        self.taken += count
        return count

    def read(self, max_samples: int) -> Samples:
        """Take at most `max_samples` as a new array; for threads that may allocate."""
        out = np.empty(min(max_samples, self.available), dtype=np.float32)
        return out[: self.read_into(out)]

    def skip(self, count: int) -> int:
        """Forget at most `count` of the oldest samples (reader's side); returns how many."""
        count = min(count, self.available)
        self.taken += count
        return count
