import math
from dataclasses import replace

import pytest
import torch

from taste_speech.training.aligned_utterance import (
    PROSODY_SIZE,
    UnitProsody,
    align_utterance,
    standardise,
    with_pace,
)
from taste_speech.training.corpus.audio_store import Clip
from taste_speech.training.word_times import PHONES as NUMBERED
from taste_speech.training.word_times import Timing, word_ends

PHONES = [
    ("pau", 0.1),
    ("dh", 0.2),
    ("iy", 0.3),
    ("k", 0.4),
    ("ae", 0.5),
    ("t", 0.6),
    ("pau", 0.8),
    ("s", 0.9),
    ("pau", 1.2),
]


def test_a_pause_belongs_to_the_word_after_it_and_the_rest_to_the_last_word():
    assert word_ends([["dh", "iy"], ["k", "ae", "t"], ["s"]], PHONES) == [0.3, 0.6, 1.2]


def test_phones_that_are_spoken_otherwise_do_not_shift_the_other_words():
    assert word_ends([["dh", "ax"], ["k", "ae"], ["s"]], PHONES) == [0.3, 0.6, 1.2]


def test_a_word_without_phones_ends_where_the_one_before_it_does():
    assert word_ends([["dh", "iy"], [], ["k", "ae", "t", "s"]], PHONES) == [0.3, 0.3, 1.2]


def test_the_numbers_of_phones_stay_as_they_are():
    assert len(NUMBERED) == len(set(NUMBERED)) == 41
    numbers = [NUMBERED.index(phone) for phone in ("pau", "aa", "hh", "ih", "v", "w", "zh")]
    assert numbers == [0, 1, 17, 18, 36, 37, 40]


CLIP = Clip("a", "train", "so cat.", "rms", 1.0, 1.0, 0.0, None, 0, 16000)
SAID = [("pau", 0.1), ("s", 0.2), ("ow", 0.3), ("k", 0.4), ("ae", 0.5), ("t", 0.6), ("pau", 0.8)]


class Letters:
    def __call__(self, text, add_special_tokens):
        return {"input_ids": [ord(c) for c in text.strip()]}


def test_units_know_their_phone_and_the_letter_that_is_said():
    centroids = torch.zeros(1, 3)
    item = align_utterance(
        CLIP, torch.zeros(8), Timing([0.3, 0.8], SAID), Letters(), 10, UnitProsody(centroids)
    )
    assert [NUMBERED[phone] for phone in item.unit_phones] == ["pau", "s", "ow", "k", "ae", "t", "pau", "pau"]
    # Letters: s o | c a t . ; a place is a number between them, the final pause belongs to the full stop.
    torch.testing.assert_close(item.unit_places, torch.tensor([0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 5.0]))
    assert item.word_end_units == [3, 8]


def test_pace_is_what_a_word_takes_over_what_its_phones_take_in_training():
    def item(slower: float, split: str):
        timing = Timing([0.3 * slower, 0.8 * slower], [(phone, end * slower) for phone, end in SAID])
        units = torch.zeros(round(8 * slower))
        clip = replace(CLIP, split=split)
        return align_utterance(clip, units, timing, Letters(), 10, UnitProsody(torch.zeros(1, 3)))

    usual, twice, half, unseen = with_pace(
        [item(1, "train"), item(4, "train"), item(2, "train"), item(8, "valid")]
    )
    # A phone takes one, four and two units in training: 7 / 3 on average; the pauses do not count.
    assert usual.prosody[:, 0].tolist() == pytest.approx([math.log(3 / 7)] * 2)
    assert twice.prosody[:, 0].tolist() == pytest.approx([math.log(12 / 7)] * 2)
    assert half.prosody[:, 0].tolist() == pytest.approx([math.log(6 / 7)] * 2)
    assert unseen.prosody[:, 0].tolist() == pytest.approx([math.log(24 / 7)] * 2)
    assert all(len(row) == PROSODY_SIZE for row in unseen.prosody)
    standard = torch.cat([part.prosody[:, 0] for part in standardise([usual, twice, half])])
    assert float(standard.mean()) == pytest.approx(0, abs=1e-6)
    assert float(standard.std()) == pytest.approx(1)


def test_a_word_without_units_has_the_usual_pace():
    timing = Timing([0.0, 0.8], SAID)
    item = align_utterance(CLIP, torch.zeros(8), timing, Letters(), 10, UnitProsody(torch.zeros(1, 3)))
    assert with_pace([item])[0].prosody[0, 0] == 0
