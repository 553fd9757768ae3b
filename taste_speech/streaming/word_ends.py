"""Where words end among speech units: by the unit decoder's attention and by how long words usually are."""

import numpy as np
from numpy.typing import NDArray

from taste_speech.division import best_division

_ATTENTION_FLOOR = 0.02
"""Attention to a word that says nothing: a unit that looks elsewhere must not decide on its own."""
_DURATION_WEIGHT = 6.0
"""Of the squared logarithm of a word's duration over the expected one, against the logarithm of attention.

6 is a normal distribution of log durations with deviation 0.29. Words vary by more, but the attention of
neighboring units is not independent and counts too much. Chosen on teacher-forced unseen utterances, where
anything from 4 to 12 does about as well.
"""


def word_ends_from_attention(
    attention: NDArray[np.float32], word_of_token: list[int], words: int
) -> list[int]:
    """The unit after the last one of each word.

    Units take words in order: the first unit belongs to the first word, the last unit to the last word, and
    each word has at least one unit. Among all such divisions the one is taken that maximizes the product of
    the attention to the words and of the probability of their durations (dynamic programming). Where the
    attention says little, words take units in proportion to their tokens.

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
        tokens = np.asarray(word_of_token)
        by_word = [attention[:, tokens == word].sum(1, dtype=np.float64) for word in spoken]
        # One more than its tokens: a word has something of its own that is not in its letters.
        sizes = np.array([1 + word_of_token.count(word) for word in spoken], dtype=np.float64)
        scores = np.log(np.stack(by_word, axis=1) + _ATTENTION_FLOOR)
        ends = best_division(scores, units * sizes / sizes.sum(), _DURATION_WEIGHT)
    known = dict(zip(spoken, ends, strict=True))
    result: list[int] = []
    for word in range(words):
        result.append(known.get(word, result[-1] if result else 0))
    result[-1] = units
    return result
