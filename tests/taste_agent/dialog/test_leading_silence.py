import numpy as np
import pytest

from taste_agent.dialog.brain import Sound
from taste_agent.dialog.leading_silence import SOUNDING, LeadingSilence
from taste_agent.dialog.messages import SpokenWord


def chunk(silent: int, loud: int, *ends: int) -> Sound:
    samples = np.concatenate([np.full(silent, SOUNDING / 10), np.full(loud, 0.1)]).astype(np.float32)
    return Sound(samples, tuple(SpokenWord(f"word{end}", end) for end in ends))


def ends(sound: Sound) -> list[int]:
    return [word.end for word in sound.words]


def test_a_reply_begins_shortly_before_its_first_sound():
    begin = LeadingSilence(kept_samples=100)
    sound = begin(chunk(2000, 500, 2200, 2500))
    assert len(sound.samples) == 600
    assert np.flatnonzero(sound.samples > SOUNDING)[0] == 100
    assert ends(sound) == [300, 600]


def test_later_chunks_keep_their_silence_and_their_words_move_along():
    begin = LeadingSilence(kept_samples=100)
    begin(chunk(2000, 500, 2500))
    later = chunk(800, 300, 3600)
    sound = begin(later)
    assert np.array_equal(sound.samples, later.samples)
    assert ends(sound) == [3600 - 1900]


@pytest.mark.parametrize("silent", [0, 60, 100])
def test_a_short_silence_stays(silent):
    sound = LeadingSilence(kept_samples=100)(chunk(silent, 500, silent + 500))
    assert len(sound.samples) == silent + 500
    assert ends(sound) == [silent + 500]


def test_a_silent_chunk_stays_as_it_is():
    begin = LeadingSilence(kept_samples=0)
    assert len(begin(chunk(700, 0, 700)).samples) == 700
    assert ends(begin(chunk(300, 300, 1300))) == [1300]


def test_a_chunk_without_sound_does_not_count_as_the_first():
    begin = LeadingSilence(kept_samples=0)
    assert not len(begin(chunk(0, 0)).samples)
    assert ends(begin(chunk(500, 300, 800))) == [300]


def test_a_word_that_ends_in_the_silence_ends_at_the_start():
    assert ends(LeadingSilence(kept_samples=0)(chunk(500, 300, 200, 800))) == [0, 300]
