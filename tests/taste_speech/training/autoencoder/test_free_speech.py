import pytest
import torch

from taste_speech.training.autoencoder.free_speech import FreeSpeech, edit_distance
from taste_speech.training.autoencoder.utterances import PROSODY_SIZE, AlignedUtterance

SPOKEN = AlignedUtterance(
    key="a",
    split="train",
    text="ab",
    token_ids=[1, 2],
    word_ids=[0, 0],
    units=torch.tensor([0, 0, 3, 3, 3, 4, 4, 0]),
    word_end_units=[8],
    prosody=torch.zeros(1, PROSODY_SIZE),
    unit_phones=torch.tensor([0, 0, 7, 7, 7, 9, 9, 0]),
    unit_places=torch.zeros(8),
)


def test_units_are_read_as_the_phones_they_mostly_stand_for():
    speech = FreeSpeech([SPOKEN], [], 0)
    assert speech.read(SPOKEN.units) == [7, 9]
    assert speech.read(torch.tensor([4, 4, 0, 0, 3, 3])) == [9, 7]


def test_single_units_and_gaps_within_a_phone_do_not_count():
    speech = FreeSpeech([SPOKEN], [], 0)
    assert speech.read(torch.tensor([3, 3, 4, 3, 3])) == [7]


@pytest.mark.parametrize(
    ("hypothesis", "errors"), [("a b c", 0), ("a x c", 1), ("a c", 1), ("a b b c", 1), ("", 3), ("x y", 3)]
)
def test_edit_distance(hypothesis, errors):
    assert edit_distance(["a", "b", "c"], hypothesis.split()) == errors
