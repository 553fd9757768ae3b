"""The shape of sound: long speech in parts that the model can take, and the edges of a reply."""

from collections.abc import Callable, Iterator, Sequence
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
_SEARCH_SAMPLES = samples_of_ms(500)
"""The quietest place this far from where a cut should be is taken."""
_QUIET_SAMPLES = samples_of_ms(20)


def parts_of_speech(
    words: Sequence[str], samples: Samples, count_tokens: Callable[[Sequence[str]], int], most_tokens: int
) -> Iterator[tuple[list[str], Samples]]:
    """Parts of a recording (T,) with their words, each with at most `most_tokens` tokens.

    Nobody knows here when each word was said: the audio is cut in proportion to the tokens, at a quiet place.
    A word that has more tokens by itself is a part of its own.
    """
    tokens = [count_tokens([word]) for word in words]
    parts, left = -(-sum(tokens) // most_tokens), sum(tokens)
    begin, first = 0, 0
    while parts > 1 and begin < len(words) - 1:
        end, taken = begin, 0
        while end < len(words) - 1 and (taken == 0 or taken + tokens[end] <= -(-left // parts)):
            taken += tokens[end]
            end += 1
        cut = _quiet_place(samples, first + (samples.size - first) * taken // left, first)
        yield list(words[begin:end]), samples[first:cut]
        begin, first, left = end, cut, left - taken
        parts = -(-left // most_tokens)
    yield list(words[begin:]), samples[first:]


def _quiet_place(samples: Samples, wanted: int, first: int) -> int:
    low = max(first + _QUIET_SAMPLES, wanted - _SEARCH_SAMPLES)
    blocks = _blocks(samples[low : wanted + _SEARCH_SAMPLES], _QUIET_SAMPLES)
    if not len(blocks):
        return wanted
    return low + int(np.argmin(np.square(blocks).sum(axis=1))) * _QUIET_SAMPLES + _QUIET_SAMPLES // 2


def _blocks(samples: Samples, size: int) -> Samples:
    """(blocks, size) all whole blocks."""
    return samples[: samples.size // size * size].reshape(-1, size)


class SoundEdges:
    """Shapes the start and the end of one reply, chunk after chunk; word ends move with its start.

    It begins with its first sound and ends in silence, whatever the voice makes of its edges.
    """

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
            silence = np.zeros(_SILENCE_AFTER_SAMPLES, np.float32)
            fall = np.linspace(1, 0, min(_FALL_SAMPLES, samples.size), dtype=np.float32)
            kept = samples.size - fall.size
            samples = np.concatenate([samples[:kept], fall * samples[kept:], silence])
        words = tuple(replace(word, end=max(0, word.end + self._shift)) for word in sound.words)
        return Sound(samples, words)

    def _begin(self, samples: Samples) -> Samples:
        levels = np.sqrt(np.mean(np.square(_blocks(samples, BLOCK_SAMPLES)), axis=1))
        loud = np.flatnonzero(levels > SOUNDING_RMS)
        if not loud.size:
            return samples
        self._shift = self._silence_before - int(loud[0]) * BLOCK_SAMPLES
        if self._shift <= 0:
            return samples[-self._shift :]
        rise = np.linspace(0, 1, min(_RISE_SAMPLES, samples.size), dtype=np.float32)
        samples = np.concatenate([rise * samples[: rise.size], samples[rise.size :]])
        return np.concatenate([np.zeros(self._shift, np.float32), samples])
