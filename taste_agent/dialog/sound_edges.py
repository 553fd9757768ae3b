"""A reply begins with its first sound and ends in silence, whatever the voice makes of its edges."""

from dataclasses import replace

import numpy as np

from taste_agent.audio.ports import Samples
from taste_agent.clock import samples_of_ms
from taste_agent.dialog.brain import Sound

SOUNDING_RMS = 2.5e-3
"""Level (-52 dBFS) of a block from which something is heard, some 35 dB below speech.

Before a vowel the shipped voice begins with a breath of -57 dBFS that nobody hears, and then pauses.
"""
BLOCK_SAMPLES = samples_of_ms(10)
_RISE_SAMPLES = samples_of_ms(2)
_FALL_SAMPLES = samples_of_ms(10)
_SILENCE_AFTER_SAMPLES = samples_of_ms(30)


class SoundEdges:
    """Shapes the start and the end of one reply, chunk after chunk; word ends move with its start."""

    def __init__(self, silence_before: int) -> None:
        """`silence_before` samples come before the first sound: voices pause longer, or not at all."""
        self._silence_before = silence_before
        self._shift = 0
        self._begun = False

    def __call__(self, sound: Sound, final: bool = False) -> Sound:
        """The next chunk of the reply; a first one that is silent throughout stays as it is."""
        samples = sound.samples
        if not self._begun and samples.size:
            self._begun = True
            samples = self._begin(samples)
        if final:
            samples = _ended(samples)
        words = tuple(replace(word, end=max(0, word.end + self._shift)) for word in sound.words)
        return Sound(samples, words)

    def _begin(self, samples: Samples) -> Samples:
        blocks = samples[: samples.size // BLOCK_SAMPLES * BLOCK_SAMPLES].reshape(-1, BLOCK_SAMPLES)
        loud = np.flatnonzero(np.sqrt(np.mean(np.square(blocks), axis=1)) > SOUNDING_RMS)
        if not loud.size:
            return samples
        self._shift = self._silence_before - int(loud[0]) * BLOCK_SAMPLES
        if self._shift <= 0:
            return samples[-self._shift :]
        rise = np.linspace(0, 1, min(_RISE_SAMPLES, samples.size), dtype=np.float32)
        samples = np.concatenate([rise * samples[: rise.size], samples[rise.size :]])
        return np.concatenate([np.zeros(self._shift, np.float32), samples])


def _ended(samples: Samples) -> Samples:
    """The last samples of a reply, faded, and silence."""
    fall = np.linspace(1, 0, min(_FALL_SAMPLES, samples.size), dtype=np.float32)
    kept = samples.size - fall.size
    silence = np.zeros(_SILENCE_AFTER_SAMPLES, np.float32)
    return np.concatenate([samples[:kept], fall * samples[kept:], silence])
