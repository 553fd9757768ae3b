"""Where words end among speech units: by the unit decoder's attention and by how long words usually are."""

import numpy as np
from numpy.typing import NDArray

_LONGEST = 8
"""Maximum duration of a word, as a multiple of its expected duration."""
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


def best_division(
    scores: NDArray[np.float64], expected: NDArray[np.float64], duration_weight: float
) -> list[int]:
    """Divide units among parts in order so that scores and durations fit best (dynamic programming).

    Args:
        scores: (units, parts) log-likelihood of each unit in each part; there must be at least as many
            units as parts, because each part gets at least one.
        expected: (parts,) expected durations in units.
        duration_weight: weight of the squared logarithm of actual over expected duration.

    Returns:
        (parts,) the exclusive end of each part.
    """
    units, parts = scores.shape
    sums = np.concatenate([np.zeros((1, parts)), np.cumsum(scores, axis=0)])
    best = np.full(units + 1, -np.inf)  # score of the parts so far, by the end of the last one
    best[0] = 0.0
    chosen = np.zeros((parts, units + 1), dtype=np.int64)  # the part's duration, by its end
    for part in range(parts):
        longest = min(units, int(np.ceil(_LONGEST * expected[part])))
        durations = np.arange(longest, 0, -1)
        prior = -duration_weight * np.log(durations / expected[part]) ** 2
        # Row e - 1, of an end at e: the parts before end at e - longest, ..., e - 1.
        before = np.concatenate([np.full(longest - 1, -np.inf), (best - sums[:, part])[:-1]])
        totals = np.lib.stride_tricks.sliding_window_view(before, longest) + prior
        choice = totals.argmax(axis=1)
        chosen[part, 1:] = durations[choice]
        best = np.concatenate([[-np.inf], totals[np.arange(units), choice] + sums[1:, part]])
    ends = [units]
    for part in range(parts - 1, 0, -1):
        ends.append(ends[-1] - int(chosen[part, ends[-1]]))
    return ends[::-1]
