"""Phones with the marks behind their words, their stress and their place in the word; units with pitch."""

import pytest
import torch

from taste_speech.phones import (
    MARKED_PHONES,
    MARKS,
    PHONES,
    PITCHES,
    UNITS,
    begins_word,
    mark_of,
    marked_phones,
    pause_after,
    pitch_level,
)
from taste_speech.speech_decoder.phone_embedding import PhoneEmbedding, is_voiced

B, A, T = (PHONES.index(phone) for phone in "bæt")
MARK, STRESSED, BEGINS = (len(PHONES) * each for each in (1, len(MARKS) + 1, (len(MARKS) + 1) * 3))


def test_stress_is_of_the_phone_behind_its_mark_and_the_first_phone_begins_the_word():
    assert marked_phones("bæt") == [BEGINS + B, A, T]
    assert marked_phones("bˈæt") == [BEGINS + B, STRESSED + A, T]
    assert marked_phones("ˌæt") == [BEGINS + 2 * STRESSED + A, T]
    assert marked_phones("—") == []


@pytest.mark.parametrize(("word", "mark"), [("bat", 0), ("bat,", 1), ("bat...", 2), ('bat?"', 3), ("", 0)])
def test_the_mark_behind_a_word_is_that_of_its_phones(word, mark):
    assert mark_of(word) == mark
    offset = mark * MARK
    found = marked_phones("bæt" + word[3:])
    assert found == [BEGINS + offset + B, offset + A, offset + T]
    assert {pause_after(marked) for marked in found} == {offset}


def test_the_first_phone_of_a_word_is_known_as_such_and_pauses_begin_none():
    words = torch.tensor([*marked_phones("bˈæt,"), pause_after(B + MARK), *marked_phones("æt?")])
    assert begins_word(words).tolist() == [True, False, False, False, True, False]
    assert begins_word(words + 9 * MARKED_PHONES).tolist() == begins_word(words).tolist()


def test_vowels_and_voiced_consonants_have_a_pitch_and_nothing_else():
    marked = torch.tensor([*marked_phones("bˈæts?"), *marked_phones("ʃˌiz"), 0, 2 * MARK])
    assert is_voiced(marked).tolist() == [True, True, False, False, False, True, True, False, False]
    assert torch.equal(is_voiced(marked + 3 * MARKED_PHONES), is_voiced(marked))


def test_levels_of_pitch_rise_by_sixteen_an_octave_within_their_bounds():
    assert pitch_level(torch.tensor([1.0, 109.0, 110.5, 439.0, 441.0, 5000.0])).tolist() == [
        1,
        1,
        1,
        PITCHES,
        PITCHES,
        PITCHES,
    ]
    low = torch.tensor([120.0, 150.0, 200.0])
    assert (pitch_level(2 * low) - pitch_level(low)).tolist() == [16] * 3
    levels = pitch_level(torch.linspace(100, 500, 300))
    assert bool((levels.diff() >= 0).all())
    assert set(levels.tolist()) == set(range(1, PITCHES + 1))


def test_every_unit_is_one_phone_at_one_level():
    highest = max(marked_phones("ˌT?")) + MARKED_PHONES * PITCHES
    assert MARKED_PHONES * PITCHES < highest < UNITS
    assert (UNITS - 1) // MARKED_PHONES == PITCHES


@torch.no_grad()
def test_each_that_is_known_of_a_phone_has_its_vector():
    torch.manual_seed(0)
    embedding = PhoneEmbedding(8)
    phone, mark = embedding.phones.weight[A], embedding.marks.weight[1]
    marked = torch.tensor([A + MARK + 2 * STRESSED + BEGINS])
    assert torch.equal(embedding(marked)[0], phone + mark)  # the others begin without a say
    embedding.stresses.weight.copy_(torch.randn(3, 8))
    embedding.begins_word.copy_(torch.randn(8))
    whole = phone + mark + embedding.stresses.weight[2] + embedding.begins_word
    assert torch.allclose(embedding(marked)[0], whole)


@torch.no_grad()
def test_the_vector_of_a_unit_is_that_of_its_phone_and_that_of_its_pitch():
    torch.manual_seed(0)
    embedding = PhoneEmbedding(8, pitched=True)
    marked = torch.tensor([A + MARK + 2 * STRESSED + BEGINS])
    assert torch.equal(embedding(marked + 7 * MARKED_PHONES), embedding(marked))  # it begins without a say
    embedding.pitches.weight.copy_(torch.randn(PITCHES + 1, 8))
    difference = embedding(marked + 7 * MARKED_PHONES) - embedding(marked)
    pitches = embedding.pitches.weight
    torch.testing.assert_close(difference[0], pitches[7] - pitches[0])
