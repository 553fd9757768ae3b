"""Phones with the marks behind their words."""

import pytest

from taste_speech.vocoder.phones import PHONES, mark_of, marked_phones

B, A, T = (PHONES.index(phone) for phone in "bæt")


def test_stress_and_punctuation_are_no_phones():
    assert marked_phones("bˈæt") == [B, A, T]
    assert marked_phones("—") == []


@pytest.mark.parametrize(("word", "mark"), [("bat", 0), ("bat,", 1), ("bat...", 2), ('bat?"', 3), ("", 0)])
def test_the_mark_behind_a_word_is_that_of_its_phones(word, mark):
    assert mark_of(word) == mark
    offset = mark * len(PHONES)
    assert marked_phones("bæt" + word[3:]) == [offset + B, offset + A, offset + T]
