import numpy as np
import pytest

from taste_agent.dialog.brain import Sound
from taste_agent.dialog.leading_silence import BLOCK_SAMPLES, SOUNDING_RMS, LeadingSilence
from taste_agent.dialog.messages import SpokenWord


def chunk(silent: int, loud: int, *ends: int) -> Sound:
    samples = np.concatenate([np.full(silent, SOUNDING_RMS / 10), np.full(loud, 0.1)]).astype(np.float32)
    return Sound(samples, tuple(SpokenWord(f"word{end}", end) for end in ends))


def ends(sound: Sound) -> list[int]:
    return [word.end for word in sound.words]


def test_a_reply_begins_shortly_before_its_first_sound():
    begin = LeadingSilence(kept_samples=100)
    sound = begin(chunk(2080, 500, 2280, 2580))
    assert len(sound.samples) == 600
    assert np.flatnonzero(sound.samples > SOUNDING_RMS)[0] == 100
    assert ends(sound) == [300, 600]


def test_later_chunks_keep_their_silence_and_their_words_move_along():
    begin = LeadingSilence(kept_samples=100)
    begin(chunk(2080, 500, 2580))
    later = chunk(800, 300, 3600)
    sound = begin(later)
    assert np.array_equal(sound.samples, later.samples)
    assert ends(sound) == [3600 - 1980]


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
    assert ends(begin(chunk(480, 320, 800))) == [320]


def test_a_word_that_ends_in_the_silence_ends_at_the_start():
    assert ends(LeadingSilence(kept_samples=0)(chunk(480, 320, 200, 800))) == [0, 320]


def test_a_breath_that_nobody_hears_is_silence_too():
    """The vocoder's own start, at -57 dBFS."""
    sound = chunk(3200, 500, 3700)
    breath = 1.4e-3 * np.sqrt(2) * np.sin(np.arange(480) * 0.3)
    sound.samples[480:960] = breath
    assert np.abs(breath).max() > 1e-3
    assert len(LeadingSilence(kept_samples=BLOCK_SAMPLES)(sound).samples) == 500 + BLOCK_SAMPLES
