import importlib.util
import random
from pathlib import Path

import numpy as np
import pytest

from taste_speech.phones import PAUSE
from taste_speech.training.corpus.reply_voice import (
    HOP_SAMPLES,
    SAMPLE_RATE_HZ,
    Manner,
    ReplyVoice,
    _rates,
    lay_out,
    random_manner,
    timing,
)
from taste_speech.words import pronounced_text

needs_hibari = pytest.mark.skipif(
    importlib.util.find_spec("hibari") is None, reason="hibari-tts is not installed (extra `train`)"
)
TEXT = "The lonely keeper waited, then he rang the bell."


def test_words_are_laid_out_between_pads_with_blanks_between() -> None:
    ids, of_word = lay_out(["hI", "ðɛɹ."], {symbol: i for i, symbol in enumerate(" hIðɛɹ.", 1)})
    assert ids == [0, 2, 3, 1, 4, 5, 6, 7, 0]
    assert of_word.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 1]


def test_stress_goes_with_the_sound_after_it_and_a_mark_is_a_pause() -> None:
    symbols, of_word = [PAUSE, "h", "ˈ", "I", ",", " ", "O", PAUSE], np.array([0, 0, 0, 0, 0, 0, 1, 1])
    found = timing(symbols, of_word, np.arange(1, 9) * 0.1)
    assert [phone for phone, _ in found.phones] == [PAUSE, "h", "I", PAUSE, "O", PAUSE]
    assert found.word_ends == pytest.approx([0.4, 0.8])


def test_both_parts_of_a_text_that_changes_its_pace_are_as_far_from_it() -> None:
    rates = _rates(Manner(rate=1.2, change_word=1, change_rate=1.44, emphasis=2), np.array([0, 1, 2]))
    assert rates.tolist() == pytest.approx([1.0, 1.44, 1.44 * 0.7])


def test_manners_are_gentle_and_a_third_plain() -> None:
    manners = [random_manner(TEXT, random.Random(seed)) for seed in range(400)]
    assert 0.25 < manners.count(Manner()) / 400 < 0.42
    assert all(0.65 < m.rate < 1.4 and 0.84 < m.pitch < 1.19 for m in manners)


@needs_hibari
def test_the_voice_tells_when_each_word_ends_and_how_high_it_is(tmp_path: Path) -> None:
    voice = ReplyVoice(tmp_path)
    plain = voice.speak(TEXT)
    seconds = len(plain.samples) / SAMPLE_RATE_HZ
    assert len(plain.f0_hz) * HOP_SAMPLES == len(plain.samples)
    assert plain.timing.phones[-1][1] == pytest.approx(seconds)
    assert len(plain.timing.word_ends) == len(TEXT.split())
    assert plain.timing.word_ends == sorted(plain.timing.word_ends)
    # A pause belongs to the word after it: in the one of the comma it is quiet.
    gap = next(i for i, (phone, _) in enumerate(plain.timing.phones) if phone == PAUSE and i)
    begin, end = (int(plain.timing.phones[i][1] * SAMPLE_RATE_HZ) for i in (gap - 1, gap))
    loudness = np.abs(plain.samples.astype(float))
    assert loudness[begin:end].mean() < 0.3 * loudness.mean()


@needs_hibari
def test_phones_are_heard_when_they_are_told(tmp_path: Path) -> None:
    spoken = ReplyVoice(tmp_path).speak("She sees six ships sailing so slowly past us.")
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(spoken.samples.astype(float), 120), 240)[::120]
    power = np.abs(np.fft.rfft(frames * np.hanning(240))) ** 2  # one row every 5 ms
    hiss = np.log1p(power[:, 45:100].sum(1)) - np.log1p(power[:, 2:20].sum(1))
    told, begin = np.zeros(len(hiss)), 0
    for phone, end in spoken.timing.phones:
        told[begin : round(end * 200)] = phone in "sʃz"
        begin = round(end * 200)
    shifts = range(-15, 16)
    best = shifts[int(np.argmax([np.corrcoef(np.roll(told, shift), hiss)[0, 1] for shift in shifts]))]
    assert abs(best) <= 3, f"heard {5 * best} ms after it was told"


@needs_hibari
def test_an_emphasized_word_is_longer_and_higher(tmp_path: Path) -> None:
    voice, word = ReplyVoice(tmp_path), 1
    plain, stressed = voice.speak(TEXT), voice.speak(TEXT, Manner(emphasis=word))

    def length_and_pitch(spoken) -> tuple[float, float]:
        begin, end = spoken.timing.word_ends[word - 1], spoken.timing.word_ends[word]
        values = spoken.f0_hz[round(begin * 80) : round(end * 80)]
        return end - begin, float(np.median(values[values > 0]))

    assert length_and_pitch(stressed)[0] > 1.1 * length_and_pitch(plain)[0]
    assert length_and_pitch(stressed)[1] > 1.03 * length_and_pitch(plain)[1]


@needs_hibari
def test_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="write numbers and signs as words"):
        pronounced_text("In 1984 it rained.")


@needs_hibari
def test_the_spectra_of_a_text_are_those_of_its_sound(tmp_path: Path) -> None:
    voice = ReplyVoice(tmp_path)
    manner = Manner(rate=0.9, emphasis=2)
    spectra = voice.spectra(TEXT, manner)
    spoken = voice.speak(TEXT, manner)
    assert spectra.shape == (len(spoken.f0_hz), 5, 601)
    harmonic, turn, voiced = np.exp(spectra[:, 0]), spectra[:, 3], spoken.f0_hz > 0
    assert harmonic[voiced].sum(1).mean() > 10 * harmonic[~voiced].sum(1).mean()
    assert harmonic[:, 550:].max() < 1e-6
    assert np.abs(turn).max() <= np.pi
