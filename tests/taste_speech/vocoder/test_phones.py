"""Phones with the marks behind their words, their stress and their place in the word."""

import pytest
import torch

from taste_speech.vocoder.phones import (
    MARKS,
    PHONES,
    UNKNOWN,
    PhoneEmbedding,
    mark_of,
    marked_phones,
    pause_after,
)

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
    unknown = embedding(torch.tensor([UNKNOWN]))[0]
    assert torch.allclose(
        unknown, embedding.phones.weight[0] + embedding.marks.weight[-1] + embedding.stresses.weight[0]
    )
