import numpy as np
import pytest

from taste_agent.dialog.brain import Sound
from taste_agent.dialog.sound import BLOCK_SAMPLES, SOUNDING_RMS, SoundEdges, parts_of_speech
from taste_speech.words import Word
from tests.taste_agent.speech import RATE, noise, silence, track


def chunk(silent: int, loud: int, *ends: int) -> Sound:
    samples = np.concatenate([np.full(silent, SOUNDING_RMS / 10), np.full(loud, 0.1)]).astype(np.float32)
    return Sound(samples, tuple(Word(f"word{end}", end=end) for end in ends))


def ends(sound: Sound) -> list[int]:
    return [word.end for word in sound.words]


def test_a_reply_begins_shortly_before_its_first_sound():
    begin = SoundEdges(silence_before=100)
    sound = begin(chunk(2080, 500, 2280, 2580))
    assert len(sound.samples) == 600
    assert np.flatnonzero(sound.samples > SOUNDING_RMS)[0] == 100
    assert ends(sound) == [300, 600]


def test_later_chunks_keep_their_silence_and_their_words_move_along():
    begin = SoundEdges(silence_before=100)
    begin(chunk(2080, 500, 2580))
    later = chunk(800, 300, 3600)
    sound = begin(later)
    assert np.array_equal(sound.samples, later.samples)
    assert ends(sound) == [3600 - 1980]


@pytest.mark.parametrize("silent", [0, 160, 320])
def test_a_reply_that_begins_at_once_gets_its_silence(silent):
    sound = SoundEdges(silence_before=320)(chunk(silent, 640, silent + 640))
    assert len(sound.samples) == 320 + 640
    assert np.abs(sound.samples[:320]).max() < SOUNDING_RMS
    assert ends(sound) == [320 + 640]


def test_a_sound_that_begins_at_once_does_not_click():
    assert np.abs(np.diff(SoundEdges(silence_before=320)(chunk(0, 640)).samples)).max() < 0.01


def test_a_reply_ends_in_silence_however_its_last_sound_was_cut():
    edges = SoundEdges(silence_before=0)
    edges(chunk(0, 640, 640))
    sound = edges(chunk(0, 640, 1280), final=True)
    assert not sound.samples[-BLOCK_SAMPLES:].any()
    assert np.abs(np.diff(sound.samples)).max() < 0.01, "a click"
    assert np.array_equal(sound.samples[:480], chunk(0, 480).samples)
    assert ends(sound) == [1280]


def test_a_reply_that_ends_without_more_sound_ends_in_silence_too():
    assert not SoundEdges(silence_before=0)(chunk(0, 0), final=True).samples.any()


def test_a_silent_chunk_stays_as_it_is():
    begin = SoundEdges(silence_before=0)
    assert len(begin(chunk(700, 0, 700)).samples) == 700
    assert ends(begin(chunk(300, 300, 1300))) == [1300]


def test_a_chunk_without_sound_does_not_count_as_the_first():
    begin = SoundEdges(silence_before=0)
    assert not len(begin(chunk(0, 0)).samples)
    assert ends(begin(chunk(480, 320, 800))) == [320]


def test_a_word_that_ends_in_the_silence_ends_at_the_start():
    assert ends(SoundEdges(silence_before=0)(chunk(480, 320, 200, 800))) == [0, 320]


def test_a_breath_that_nobody_hears_is_silence_too():
    """The vocoder's own start, at -57 dBFS."""
    sound = chunk(3200, 500, 3700)
    breath = 1.4e-3 * np.sqrt(2) * np.sin(np.arange(480) * 0.3)
    sound.samples[480:960] = breath
    assert np.abs(breath).max() > 1e-3
    assert len(SoundEdges(silence_before=BLOCK_SAMPLES)(sound).samples) == 500 + BLOCK_SAMPLES


WORDS = ["a", "bb", "cccc", "dd", "e", "fff", "g", "hh"]
AUDIO = np.arange(8 * RATE, dtype=np.float32) / RATE


def count(words: list[str]) -> int:
    return sum(map(len, words))


@pytest.mark.parametrize("most", [4, 5, 7, 8, 15, 16, 100])
def test_parts_hold_all_words_and_all_sound_in_order(most):
    parts = list(parts_of_speech(WORDS, AUDIO, count, most))
    assert [word for words, _ in parts for word in words] == WORDS
    assert np.array_equal(np.concatenate([samples for _, samples in parts]), AUDIO)
    assert all(count(words) <= most for words, _ in parts)
    assert all(samples.size >= RATE // 4 for _, samples in parts)
    assert len(parts) <= -(-count(WORDS) // most) + 1


def test_what_fits_is_one_part():
    [(words, samples)] = parts_of_speech(WORDS, AUDIO, count, 16)
    assert words == WORDS
    assert samples is AUDIO or np.array_equal(samples, AUDIO)


def test_a_word_that_does_not_fit_is_a_part_of_its_own():
    parts = list(parts_of_speech(["a", "xxxxxxxx", "b"], AUDIO, count, 4))
    assert ["xxxxxxxx"] in [words for words, _ in parts]


def test_the_cut_is_where_it_is_quiet():
    audio = track(noise(3.7, -20), silence(0.1), noise(4.2, -20))
    [(_, first), _] = parts_of_speech(["aaaa", "bbbb"], audio, count, 4)
    assert 3.7 * RATE <= first.size <= 3.8 * RATE
