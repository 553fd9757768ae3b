"""Whether what the loudspeaker plays reaches the microphone at all. Pure arithmetic."""

from __future__ import annotations

from collections import deque

import numpy as np

from taste_agent.audio.ports import Samples

# All in frames of 10 ms.
WINDOW_FRAMES = 30
MAX_DELAY_FRAMES = 70
MEMORY_FRAMES = 300
# So many windows must agree: a single one may lie between two sounds.
AGREEING_FRAMES = 20
# A weaker echo stays below the level from which on sound counts as speech.
NEGLIGIBLE_DB = -35.0
FAR_ACTIVE_MEAN = 0.003**2


class EchoPath:
    """An upper bound of the echo's gain, from the energies of both sides.

    Where the microphone's energy over a window is small against the least energy that the loudspeaker had in
    any window that could sound in it (delays up to 0.7 s), the gain is at most their ratio, whatever else is
    in the microphone. The least such ratios of the last three seconds of playing are the bound: a person who
    speaks only makes single windows say nothing.
    """

    def __init__(self) -> None:
        """Nothing is known yet, so there may be an echo."""
        self._near: deque[float] = deque(maxlen=WINDOW_FRAMES)
        self._far: deque[float] = deque(maxlen=WINDOW_FRAMES)
        self._far_windows: deque[float] = deque(maxlen=MAX_DELAY_FRAMES)
        self._ratios: deque[float] = deque(maxlen=MEMORY_FRAMES)

    def add(self, near: Samples, far: Samples) -> None:
        """Take one frame of each side."""
        self._near.append(float(near @ near) / near.size)
        self._far.append(float(far @ far) / far.size)
        if not self._far[-1] and not any(self._far):
            self._far_windows.append(0.0)
            return
        self._far_windows.append(sum(self._far) / WINDOW_FRAMES)
        least_far = min(self._far_windows)
        if len(self._far_windows) == MAX_DELAY_FRAMES and least_far > FAR_ACTIVE_MEAN:
            self._ratios.append(sum(self._near) / WINDOW_FRAMES / least_far)

    @property
    def gain_db(self) -> float | None:
        """The bound; None until the loudspeaker has sounded for long enough."""
        if len(self._ratios) < AGREEING_FRAMES:
            return None
        return 10 * float(np.log10(sorted(self._ratios)[AGREEING_FRAMES - 1] + 1e-12))

    @property
    def negligible(self) -> bool:
        """Whether there is nothing to cancel, as with headphones."""
        gain_db = self.gain_db
        return gain_db is not None and gain_db < NEGLIGIBLE_DB
