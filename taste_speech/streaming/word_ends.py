"""Where words end among speech units, judged by the unit decoder's attention and by typical durations."""

import numpy as np
from numpy.typing import NDArray

_ATTENTION_FLOOR = 0.02
"""Attention to a word that carries no information, so that one unit with stray attention decides nothing."""
_DURATION_WEIGHT = 6.0
"""Weight of the squared log ratio of a word's duration to the expected one, against the log attention.

6 corresponds to a normal distribution of log durations with deviation 0.29. Words vary by more, but the
attention of neighboring units is not independent and would count too much. Chosen on teacher-forced unseen
utterances, where anything from 4 to 12 does about as well.
"""
_LONGEST = 8
"""No word is longer than this many times its expected duration."""


def word_ends_from_attention(
    attention: NDArray[np.float32], word_of_token: list[int], words: int
) -> list[int]:
    """Return for each word the index after its last unit.

    Units take words in order, each word has at least one unit, and the last unit belongs to the last word.
    The division with the highest product of attention to the words and probability of their durations is
    chosen. Where the attention says little, words take units in proportion to their tokens.

    Args:
        attention: (units, tokens) attention of each unit's prediction to each token.
        word_of_token: (tokens,) word index of each token, ascending.
        words: number of words; those without tokens get no units.
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
        # One more than its tokens, because part of a word's duration does not depend on its spelling.
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
    """Divide units among words in order so that scores and durations fit best (dynamic programming).

    Args:
        scores: (units, words) log likelihood of each unit in each word; at least as many units as words.
        expected: (words,) expected durations in units.
        duration_weight: weight of the squared log ratio of a duration to the expected one.

    Returns:
        (words,) index after the last unit of each word.
    """
    units, words = scores.shape
    sums = np.concatenate([np.zeros((1, words)), np.cumsum(scores, axis=0)])
    best = np.full(units + 1, -np.inf)  # score of the words so far, by where the last of them ends
    best[0] = 0.0
    chosen = np.zeros((words, units + 1), dtype=np.int64)  # duration of the word, by its end
    for word in range(words):
        longest = min(units, int(np.ceil(_LONGEST * expected[word])))
        durations = np.arange(longest, 0, -1)
        prior = -duration_weight * np.log(durations / expected[word]) ** 2
        # Row e - 1, for an end at e: scores of the words before that end at e - longest, ..., e - 1.
        before = np.concatenate([np.full(longest - 1, -np.inf), (best - sums[:, word])[:-1]])
        totals = np.lib.stride_tricks.sliding_window_view(before, longest) + prior
        choice = totals.argmax(axis=1)
        chosen[word, 1:] = durations[choice]
        best = np.concatenate([[-np.inf], totals[np.arange(units), choice] + sums[1:, word]])
    ends = [units]
    for word in range(words - 1, 0, -1):
        ends.append(ends[-1] - int(chosen[word, ends[-1]]))
    return ends[::-1]
