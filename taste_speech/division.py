"""The division of a sequence into parts that are known in advance."""

import numpy as np
from numpy.typing import NDArray

_LONGEST = 8
"""No part is longer than this many times the expected duration."""


def best_division(
    scores: NDArray[np.float64], expected: NDArray[np.float64], duration_weight: float
) -> list[int]:
    """Divide units among parts in order, so that scores and durations fit best (dynamic programming).

    Args:
        scores: (units, parts) logarithm of the likelihood of each unit in each part; at least as many units
            as parts, as each has one at least.
        expected: (parts,) durations in units.
        duration_weight: of the squared logarithm of a duration over the expected one.

    Returns:
        (parts,) the unit after the last one of each part.
    """
    units, parts = scores.shape
    sums = np.concatenate([np.zeros((1, parts)), np.cumsum(scores, axis=0)])
    best = np.full(units + 1, -np.inf)  # of the parts so far, by where the last of them ends
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
