import itertools
from typing import Any

import numpy as np

from taste_speech.streaming.word_ends import best_division, word_ends_from_attention

WEIGHT = 6.0


def attention(path: list[int], tokens: int, noise: float = 0.0) -> np.ndarray:
    weights = np.full((len(path), tokens), 0.02, np.float32)
    weights[np.arange(len(path)), path] = 0.8
    rng = np.random.default_rng(0)
    return weights + noise * rng.random(weights.shape, np.float32)


def test_word_ends_follow_the_attention() -> None:
    path = [0] * 5 + [1] * 2 + [2] * 7 + [3] * 4  # tokens 1 and 2 are one word
    ends = word_ends_from_attention(attention(path, 4, noise=0.3), [0, 1, 1, 2], 3)
    assert ends == [5, 14, 18]


def test_word_ends_keep_the_order_when_attention_jumps() -> None:
    path = [0] * 5 + [2] + [0] * 3 + [1] * 6 + [0] + [2] * 5
    assert word_ends_from_attention(attention(path, 3), [0, 1, 2], 3) == [9, 15, 21 - 0]


def test_words_that_nothing_looked_at_are_not_bunched_at_the_end() -> None:
    ends = word_ends_from_attention(attention([0] * 9, 3), [0, 1, 2], 3)
    assert ends == [5, 7, 9]


def test_without_attention_words_take_units_by_their_tokens() -> None:
    nothing = np.zeros((24, 6), np.float32)
    assert word_ends_from_attention(nothing, [0, 1, 1, 1, 2, 2], 3) == [5, 16, 24]


def test_clear_attention_decides_against_the_usual_durations() -> None:
    path = [0] * 5 + [1] * 20 + [2] * 5
    assert word_ends_from_attention(attention(path, 3), [0, 1, 2], 3) == [5, 25, 30]


def test_fewer_units_than_words_and_words_without_tokens() -> None:
    assert word_ends_from_attention(attention([0, 1], 4), [0, 1, 2, 3], 4) == [0, 1, 2, 2]
    assert word_ends_from_attention(attention([0, 0, 1, 1], 2), [0, 2], 3) == [2, 2, 4]
    assert word_ends_from_attention(np.zeros((0, 2), np.float32), [0, 1], 2) == [0, 0]


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
