"""A reply begins with its first sound: voices learn to pause before it, and people would wait for nothing."""

from dataclasses import replace

import numpy as np

from taste_agent.clock import samples_of_ms
from taste_agent.dialog.brain import Sound

SOUNDING_RMS = 2.5e-3
"""Level (-52 dBFS) of a block from which something is heard, some 35 dB below speech.

Before a vowel the shipped voice begins with a breath of -57 dBFS that nobody hears, and then pauses.
"""
BLOCK_SAMPLES = samples_of_ms(10)


class LeadingSilence:
    """Takes the silence off the start of one reply, chunk after chunk; word ends move with it."""

    def __init__(self, kept_samples: int) -> None:
        """`kept_samples` of the silence stay, so that the first sound is not cut into."""
        self._kept = kept_samples
        self._taken = 0
        self._begun = False

    def __call__(self, sound: Sound) -> Sound:
        """The next chunk of the reply; a first one that is silent throughout stays as it is."""
        samples = sound.samples
        if not self._begun and samples.size:
            self._begun = True
            blocks = samples[: samples.size // BLOCK_SAMPLES * BLOCK_SAMPLES].reshape(-1, BLOCK_SAMPLES)
            loud = np.flatnonzero(np.sqrt(np.mean(np.square(blocks), axis=1)) > SOUNDING_RMS)
            self._taken = max(0, int(loud[0]) * BLOCK_SAMPLES - self._kept) if loud.size else 0
            samples = samples[self._taken :]
        words = tuple(replace(word, end=max(0, word.end - self._taken)) for word in sound.words)
        return Sound(samples, words)
