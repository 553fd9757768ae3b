import numpy as np
import pytest

from taste_agent.dialog.speech_parts import parts_of_speech
from tests.taste_agent.speech import RATE, noise, silence, track

WORDS = ["a", "bb", "cccc", "dd", "e", "fff", "g", "hh"]
AUDIO = np.arange(8 * RATE, dtype=np.float32) / RATE


def count(words: list[str]) -> int:
    return sum(map(len, words))


@pytest.mark.parametrize("most", [4, 5, 7, 8, 15, 16, 100])
def test_parts_hold_all_words_and_all_sound_in_order(most):
    parts = list(parts_of_speech(WORDS, AUDIO, count, most))
    assert [word for words, _ in parts for word in words] == WORDS
    assert np.array_equal(np.concatenate([samples for _, samples in parts]), AUDIO)
    assert all(count(words) <= most for words, _ in parts)
    assert all(samples.size >= RATE // 4 for _, samples in parts)
    assert len(parts) <= -(-count(WORDS) // most) + 1


def test_what_fits_is_one_part():
    [(words, samples)] = parts_of_speech(WORDS, AUDIO, count, 16)
    assert words == WORDS
    assert samples is AUDIO or np.array_equal(samples, AUDIO)


def test_a_word_that_does_not_fit_is_a_part_of_its_own():
    parts = list(parts_of_speech(["a", "xxxxxxxx", "b"], AUDIO, count, 4))
    assert ["xxxxxxxx"] in [words for words, _ in parts]


def test_the_cut_is_where_it_is_quiet():
    audio = track(noise(3.7, -20), silence(0.1), noise(4.2, -20))
    [(_, first), _] = parts_of_speech(["aaaa", "bbbb"], audio, count, 4)
    assert 3.7 * RATE <= first.size <= 3.8 * RATE
