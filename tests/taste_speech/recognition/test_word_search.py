"""The search for words in phone probabilities."""

import math

import numpy as np
import pytest

from taste_speech.recognition.word_search import END, History, SearchSettings, WordSearch

# Phones: 1 k, 2 ae, 3 t, 4 s; column 0 is the blank.
WORDS = [("cat", [1, 2, 3]), ("cats", [1, 2, 3, 4]), ("at", [2, 3]), ("sack", [4, 2, 1]), ("tt", [3, 3])]
FRAME_S = 0.032


def sound(*phones: int, sure: float = 0.97) -> np.ndarray:
    """Log-probabilities of one frame a phone (0: blank), the rest shared out evenly."""
    rows = np.full((len(phones), 5), (1 - sure) / 4)
    rows[np.arange(len(phones)), phones] = sure
    return np.log(rows).astype(np.float32)


def evenly(_word: str, _history: History) -> float:
    return math.log(0.1)


def said(log_probs: np.ndarray, **settings: float) -> list[str]:
    search = WordSearch(WORDS, evenly, SearchSettings(**settings))
    return [word.text for word in search(log_probs, FRAME_S).words]


def test_finds_words_and_their_times() -> None:
    search = WordSearch(WORDS, evenly)
    found = search(sound(0, 1, 2, 2, 3, 0, 0, 4, 2, 1, 0), FRAME_S)
    assert [word.text for word in found.words] == ["cat", "sack"]
    assert [(word.start_s, word.end_s) for word in found.words] == [
        (1 * FRAME_S, 5 * FRAME_S),
        (7 * FRAME_S, 10 * FRAME_S),
    ]
    assert all(word.confidence == pytest.approx(1.0) for word in found.words)
    assert found.fit == pytest.approx(0.0, abs=1e-5)


def test_a_lasting_phone_is_said_once_and_twice_with_a_blank_between() -> None:
    assert said(sound(1, 1, 2, 2, 2, 3, 3)) == ["cat"]
    assert said(sound(3, 0, 3)) == ["tt"]


def test_longer_word_wins_where_its_phones_are_heard() -> None:
    assert said(sound(1, 2, 3, 4)) == ["cats"]


def test_the_language_model_decides_between_likely_sounds() -> None:
    unsure = np.log(
        np.array(
            [[0.02, 0.5, 0.02, 0.02, 0.44], [0.02, 0.02, 0.92, 0.02, 0.02], [0.02, 0.44, 0.02, 0.5, 0.02]]
        )
    )
    assert said(unsure.astype(np.float32)) == ["cat"]

    def prefers_sack(word: str, _history: History) -> float:
        return math.log(0.9 if word == "sack" else 0.01)

    search = WordSearch(WORDS, prefers_sack)
    assert [word.text for word in search(unsure.astype(np.float32), FRAME_S).words] == ["sack"]


def test_history_has_the_last_word_first() -> None:
    asked: set[tuple[str, History]] = set()

    def note(word: str, history: History) -> float:
        asked.add((word, history))
        return math.log(0.1)

    WordSearch(WORDS, note)(sound(1, 2, 3, 0, 4, 2, 1, 0, 2, 3), FRAME_S)
    assert ("cat", ("<s>",)) in asked
    assert ("sack", ("cat", "<s>")) in asked
    assert ("at", ("sack", "cat")) in asked
    assert (END, ("at", "sack")) in asked


def test_an_unfinished_word_is_left_out_but_not_at_any_price() -> None:
    assert said(sound(1, 2, 3, 0, 1, 2), unfinished_penalty=1.0) == ["cat"]
    # "s" alone could still belong to the first word.
    assert said(sound(1, 2, 3, 0, 4), unfinished_penalty=50.0) == ["cats"]


def test_words_that_do_not_explain_the_sound_have_low_confidence_and_fit() -> None:
    found = WordSearch(WORDS, evenly)(sound(1, 4, 4, 3), FRAME_S)
    assert found.fit < -0.5
    assert all(word.confidence is not None and word.confidence < 0.5 for word in found.words)


def test_nothing_is_heard_in_blanks_and_in_no_frames() -> None:
    assert said(sound(0, 0, 0, 0)) == []
    assert said(sound()) == []


def test_the_best_of_many_hypotheses_survives_narrow_beams() -> None:
    phones = (1, 2, 3, 0, 4, 2, 1, 0, 1, 2, 3, 4, 0)
    wide = said(sound(*phones, sure=0.6), max_hypotheses=500, beam=50.0)
    assert wide == said(sound(*phones, sure=0.6), max_hypotheses=30, beam=10.0) == ["cat", "sack", "cats"]
