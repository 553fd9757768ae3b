"""Words get taste tokens of recordings in the manner asked for."""

import random
from types import SimpleNamespace

import pytest
import torch

from taste_speech.training.mind import TasteBank

RNG = random.Random(0)


def clip(text, rate):
    return SimpleNamespace(text=text, rate=rate)


@pytest.fixture
def bank():
    said = [("Well, good day.", 1.0), ("good day", 0.7), ("good", 0.85)]
    return TasteBank(
        (clip(text, rate), torch.full((len(text.split()), 2), n)) for n, (text, rate) in enumerate(said)
    )


def test_a_word_takes_the_token_of_a_recording_at_its_pace(bank):
    assert bank.codes("assistant", ["good", "day."], RNG) == [(0, 0), (0, 0)]
    assert bank.codes("assistant", ["good", "day."], RNG, "slow") == [(1, 1), (1, 1)]


def test_a_word_that_was_never_said_at_this_pace_has_none(bank):
    assert bank.codes("assistant", ["Well,", "night"], RNG, "slow") == [None, None]
    assert bank.codes("assistant", ["good"], RNG, "fast") == [None]


def test_marks_and_capitals_are_overlooked_where_the_word_itself_was_not_said(bank):
    assert bank.codes("user", ["Day?", "well"], RNG) == [(0, 0), (0, 0)]
