"""An upper bound of what a microphone heard besides an echo, from a fresh fit. Pure arithmetic."""

from __future__ import annotations

import numpy as np

from taste_agent.audio.ports import Samples

# A window this short is past a jump of the echo's way before what leaks meanwhile counts as speech.
WINDOW_S = 0.064
MAX_DELAY_S = 0.6
# Enough for a delay between two samples and the first reflections; so few explain no other voice.
TAPS = 32
# What is quieter is no speech, whatever it is.
LOUD_RMS = 0.002
# The fit explains a little of any sound; only what is louder than its rest by this is held down.
MARGIN = 2.0


class EchoBound:
    """Holds down what a canceller lets through of an echo when the echo's way has changed.

    A canceller learns for seconds and remembers; where the way jumps (a device lost some samples) it lets
    the echo through until it has learned again. A fit of a few taps to the last moment remembers nothing:
    what it cannot explain of the microphone by the loudspeaker is at least what a person said, and the
    cleaned signal has no reason to be louder than that. It only ever takes away, and nothing from a person,
    whose voice no filter makes of the loudspeaker's.
    """

    def __init__(self, rate_hz: int) -> None:
        """For both sides at `rate_hz`; nothing was heard yet."""
        self._window = round(WINDOW_S * rate_hz)
        self._near = np.zeros(self._window, dtype=np.float32)
        self._far = np.zeros(self._window + round(MAX_DELAY_S * rate_hz) + TAPS, dtype=np.float32)
        self._size = 1 << (self._far.size + self._window - 1).bit_length()
        self._gain = 1.0

    def apply(self, cleaned: Samples, near: Samples, far: Samples) -> Samples:
        """Hold down the frame `cleaned` (T,), made of `near` (T,) while `far` (T,) was played."""
        count = near.size
        for kept, frame in ((self._near, near), (self._far, far)):
            kept[:-count] = kept[count:]
            kept[-count:] = frame
        before, self._gain = self._gain, self._gain_for(cleaned)
        if before == self._gain == 1.0:
            return cleaned
        return cleaned * np.linspace(before, self._gain, count, dtype=np.float32)

    def _gain_for(self, cleaned: Samples) -> float:
        energy = float(cleaned @ cleaned) / cleaned.size
        if energy < LOUD_RMS**2 or not self._far.any():
            return 1.0
        rest = self._rest()[-cleaned.size :]
        allowed = MARGIN * float(rest @ rest) / cleaned.size
        return min(1.0, float(np.sqrt(allowed / energy)))

    def _rest(self) -> Samples:
        """What the best filter of a few taps cannot explain of the last window of the microphone."""
        played = self._far[self._delay() :][: self._window + TAPS - 1]
        taps = np.lib.stride_tricks.sliding_window_view(played, self._window)
        products = taps @ taps.T
        products[np.diag_indices(TAPS)] += 1e-6 * np.trace(products) + 1e-9
        explained = np.linalg.solve(products, taps @ self._near) @ taps
        return (self._near - explained).astype(np.float32)

    def _delay(self) -> int:
        """Where in what was played the taps begin: around the place that is most like the microphone."""
        spectrum = np.fft.rfft(self._far, self._size) * np.conj(np.fft.rfft(self._near, self._size))
        places = self._far.size - self._window + 1
        alike = np.fft.irfft(spectrum, self._size)[:places]
        sums = np.concatenate(([0.0], np.cumsum(np.square(self._far, dtype=np.float64))))
        energies = sums[self._window :] - sums[: -self._window]
        best = int(np.argmax(np.square(alike) / (energies + 1e-6 * energies.max() + 1e-12)))
        return int(np.clip(best - TAPS // 2, 0, places - TAPS))
