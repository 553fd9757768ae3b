import math

import numpy as np
import pytest
import torch

from taste_speech.phones import MARKED_PHONES, MARKS, PHONES, mark_of, marked_phones, pitch_level
from taste_speech.speech_decoder.phone_embedding import is_voiced
from taste_speech.training.corpus.audio_store import AudioStore
from taste_speech.training.corpus.voice_features import (
    marked_phones_of,
    phone_pitch_hz,
    phone_units,
)

TIMES = [("pause", 0.1), ("h", 0.2), ("I", 0.3), ("pause", 0.5), ("m", 0.6), ("i", 0.7), ("pause", 0.9)]
MANNER = {"voice": "ada", "rate": 1.0, "pitch": 1.0, "slope": 0.0, "emphasis": None}


@pytest.fixture
def store(tmp_path):
    """A clip of nine tenths of a second, with an F0 that the voice reports: 150 Hz, then 300 Hz."""
    made = AudioStore(tmp_path / "clips")
    f0 = np.full(180, 150.0, np.float32)  # one every 5 ms
    f0[120:] = 300.0
    f0[40:58] = 0.0  # of "I", one hundredth of a second is voiced
    timing = {"word_ends": [0.3, 0.9], "phones": TIMES}
    sound = np.zeros(21600, np.int16)
    fields = {"id": "a", "split": "train", "text": "hi, me?", "rate_hz": 24000}
    made.append(sound, f0, **fields, **timing, **MANNER)
    return made


def test_pauses_are_of_no_word_and_have_the_mark_of_the_word_before(store):
    marked, words = marked_phones_of(store[0])
    assert words == [-1, 0, 0, -1, 1, 1, -1]
    marks = [each // len(PHONES) % (len(MARKS) + 1) for each in marked]
    assert marks == [0, *[mark_of("hi,")] * 3, *[mark_of("me?")] * 3]
    assert [PHONES[each % len(PHONES)] for each in marked] == [phone for phone, _ in TIMES]
    assert [marked[i] for i in (1, 2)] == marked_phones("hˈI,")


def test_phones_of_another_text_are_refused(tmp_path):
    other = AudioStore(tmp_path / "other")
    timing = {"word_ends": [0.9], "phones": TIMES}
    other.append(np.zeros(100, np.int16), id="b", split="train", text="hello", **timing, **MANNER)
    with pytest.raises(ValueError, match="clip b does not say 'hello' as it is pronounced today"):
        marked_phones_of(other[0])


def test_the_pitch_of_a_phone_is_the_geometric_mean_of_what_is_voiced_in_it(store):
    marked = torch.tensor(marked_phones_of(store[0])[0])
    found = phone_pitch_hz(store, store[0], marked)
    assert found[4].item() == pytest.approx(150)
    assert found[5].item() == pytest.approx(300)
    # What has no pitch, and what has only one voiced value.
    assert found.isnan().tolist() == [True, True, True, True, False, False, True]


def test_the_mean_of_two_pitches_is_halfway_between_them_in_octaves(store):
    marked = torch.tensor([0, marked_phones("m")[0]])
    whole = AudioStore(store.folder.parent / "glide")
    f0 = np.r_[np.full(100, 100.0), np.full(100, 200.0)].astype(np.float32)
    phones = [("pause", 0.1), ("m", 0.9)]
    fields = {"id": "c", "split": "train", "text": "m", "rate_hz": 24000, "word_ends": [0.9]}
    whole.append(np.zeros(24000, np.int16), f0, phones=phones, **fields, **MANNER)
    found = phone_pitch_hz(whole, whole[0], marked)
    assert found[1].item() == pytest.approx(100 * math.sqrt(2), rel=0.01)


def test_units_are_the_phones_at_their_times_with_their_pitch(store):
    units = phone_units(store, store[0], 47, 50)
    marked, _ = marked_phones_of(store[0])
    lengths = [5, 5, 5, 10, 5, 5, 12]  # the last phone lasts to the end
    assert (units % MARKED_PHONES).tolist() == [
        phone for phone, count in zip(marked, lengths, strict=True) for _ in range(count)
    ]
    levels = units // MARKED_PHONES
    low, high = pitch_level(torch.tensor([150.0, 300.0])).tolist()
    assert levels.tolist() == [0] * 25 + [low] * 5 + [high] * 5 + [0] * 12
    assert high - low == 16
    assert not bool(levels[~is_voiced(units)].any())
