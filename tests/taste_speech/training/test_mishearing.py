import random

import pytest

from taste_speech.training.mishearing import Mishearing, rival_words, sound_alikes

PHONES = {
    "iran": ("IH", "R", "AA", "N"),
    "iraq": ("IH", "R", "AA", "K"),
    "better": ("B", "EH", "T", "ER"),
    "butter": ("B", "AH", "T", "ER"),
    "cold": ("K", "OW", "L", "D"),
    "old": ("OW", "L", "D"),
    "moon": ("M", "UW", "N"),
    "uh": ("AH",),
    "a": ("AH",),
}
SENTENCES = [
    text.split()
    for text in (
        "where is iran",
        "where is iraq",
        "will you get better",
        "where is butter",
        "how old is the moon",
    )
]


@pytest.mark.parametrize("seed", range(5))
def test_small_changes_leave_what_matters(seed):
    words = Mishearing(small=1.0)(["what", "is", "the", "capital"], random.Random(seed))
    assert [word for word in words if word in ("what", "capital")] == ["what", "capital"]
    assert len(words) <= 4


def test_words_one_phone_apart_sound_alike_unless_they_ask_for_different_things():
    alike = sound_alikes(PHONES, rival_words(SENTENCES))
    assert alike == {
        "better": ["butter"],
        "butter": ["better"],
        "cold": ["old"],
        "old": ["cold"],
        "uh": ["a"],
        "a": ["uh"],
    }


@pytest.mark.parametrize(
    ("text", "expected"), [("will you get better", "will you get butter"), ("get better", "get better")]
)
def test_one_word_of_longer_turns_becomes_another(text, expected):
    mishearing = Mishearing(sound_alike=1.0, alike={"better": ["butter"]})
    assert mishearing(text.split(), random.Random(0)) == expected.split()


def test_nothing_is_changed_by_default():
    assert Mishearing()(["will", "you", "get", "better"], random.Random(0)) == [
        "will",
        "you",
        "get",
        "better",
    ]
