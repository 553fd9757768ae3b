"""Word ends are the best division of the units."""

import itertools
from typing import Any

import numpy as np

from taste_speech.streaming.word_ends import best_division

WEIGHT = 6.0


def test_the_division_is_the_best_of_all() -> None:
    rng = np.random.default_rng(0)
    for units, parts in [(3, 1), (4, 4), (6, 2), (8, 3), (9, 4)] * 5:
        scores, expected = 3 * rng.normal(size=(units, parts)), rng.uniform(0.5, 3, parts)
        expected *= units / expected.sum()

        def value(ends: tuple[int, ...], scores: Any = scores, expected: Any = expected) -> float:
            spans = zip((0, *ends), ends, strict=False)
            return sum(
                scores[begin:end, part].sum() - WEIGHT * np.log((end - begin) / expected[part]) ** 2
                for part, (begin, end) in enumerate(spans)
            )

        divisions = [(*cut, units) for cut in itertools.combinations(range(1, units), parts - 1)]
        assert best_division(scores, expected, WEIGHT) == list(max(divisions, key=value))
