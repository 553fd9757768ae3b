"""Where words end among speech units: the best monotone path through the unit decoder's attention."""

import numpy as np
from numpy.typing import NDArray

_FLOOR = 1e-4


def word_ends_from_attention(
    attention: NDArray[np.float32], word_of_token: list[int], words: int
) -> list[int]:
    """The unit after the last one of each word.

    Units take words in order: the first unit belongs to the first word, the last unit to the last word, and
    each word has at least one unit. Among all such divisions the one with the greatest product of attention
    is taken (dynamic programming).

    Args:
        attention: (units, tokens), how much each unit's prediction looked at each token.
        word_of_token: (tokens,) word index of each token, ascending.
        words: number of words; those without tokens get no units.

    Returns:
        (words,) ascending, the last one = number of units.
    """
    units = len(attention)
    spoken = sorted(set(word_of_token))
    if not spoken or units == 0:
        return [units] * words
    if units < len(spoken):
        ends = [round((place + 1) * units / len(spoken)) for place in range(len(spoken))]
    else:
        ends = _best_division(_by_word(attention, word_of_token, spoken))
    known = dict(zip(spoken, ends, strict=True))
    result: list[int] = []
    for word in range(words):
        result.append(known.get(word, result[-1] if result else 0))
    result[-1] = units
    return result


def _by_word(
    attention: NDArray[np.float32], word_of_token: list[int], spoken: list[int]
) -> NDArray[np.float64]:
    """(units, spoken words), logarithm of each word's share of the attention."""
    tokens = np.asarray(word_of_token)
    sums = np.stack([attention[:, tokens == word].sum(1, dtype=np.float64) for word in spoken], axis=1)
    shares = sums / np.maximum(sums.sum(1, keepdims=True), _FLOOR)
    return np.log(shares + _FLOOR)


def _best_division(scores: NDArray[np.float64]) -> list[int]:
    units, words = scores.shape
    best = np.full(words, -np.inf)
    best[0] = scores[0, 0]
    stepped = np.zeros((units, words), dtype=bool)
    for unit in range(1, units):
        from_left = np.concatenate([[-np.inf], best[:-1]])
        stepped[unit] = from_left > best
        best = np.maximum(best, from_left) + scores[unit]
    ends, word = [units], words - 1
    for unit in range(units - 1, 0, -1):
        if stepped[unit, word]:
            ends.append(unit)
            word -= 1
    return ends[::-1]
