"""What the session needs from the outside world: blocks of samples in, blocks of samples out.

A port hides its own rate, channels and block size. The ports are devices; replay reads its files by itself.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
"""Mono audio in [-1, 1] at `clock.ENGINE_RATE_HZ`."""


class AudioSource(Protocol):
    """Where the person's voice comes from."""

    idle: bool
    """Told by whoever reads: nobody speaks and nothing is owed, so a device may gather more for each read."""

    @property
    def latency_samples(self) -> int:
        """How long ago the last sample that was read had sounded; 0 for a file."""

    def read(self) -> Samples | None:
        """The next samples, of any length (may be 0 when a device has nothing yet); None at the end.

        A device blocks for at most a fraction of a second; a file never waits.
        """

    def close(self) -> None:
        """Frees the file or device; safe to call twice."""


class AudioSink(Protocol):
    """Where the agent's voice goes to."""

    @property
    def latency_samples(self) -> int:
        """How long after `write` a sample is heard (queue and device); 0 for a file."""

    def write(self, samples: Samples) -> None:
        """Takes samples that follow on the previous ones. The session writes exactly as many as it read."""

    def cut(self, next_ms: int) -> None:
        """Silences within milliseconds what is queued and not yet heard, and the next `next_ms` written."""

    def close(self) -> None:
        """Plays or writes what is pending and frees the file or device; safe to call twice."""
