"""Long speech in parts that the model can take."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from taste_agent.audio.ports import Samples
from taste_agent.clock import samples_of_ms

_SEARCH_SAMPLES = samples_of_ms(500)
"""The quietest place this far from where a cut should be is taken."""
_BLOCK_SAMPLES = samples_of_ms(20)


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
    low = max(first + _BLOCK_SAMPLES, wanted - _SEARCH_SAMPLES)
    blocks = samples[low : wanted + _SEARCH_SAMPLES]
    blocks = blocks[: blocks.size // _BLOCK_SAMPLES * _BLOCK_SAMPLES].reshape(-1, _BLOCK_SAMPLES)
    if not len(blocks):
        return wanted
    return low + int(np.argmin(np.square(blocks).sum(axis=1))) * _BLOCK_SAMPLES + _BLOCK_SAMPLES // 2
