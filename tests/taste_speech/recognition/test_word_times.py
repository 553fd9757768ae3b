"""Times and pitch of words that are known."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import taste_agent
from taste_speech.recognition.factory import english_whisper
from taste_speech.recognition.voicing import pitch_hz, voiced_seconds
from taste_speech.recognition.word_times import timed_words
from taste_speech.sound_file import SoundFile
from tests.taste_agent.speech import RATE

QUESTION = SoundFile(Path(taste_agent.__file__).parent / "demo" / "question.wav").samples()
SAID_BEFORE_S = (1.13, 1.28, 1.4, 1.95, 2.1, 2.93)
"""When the voice that asks it ends each word."""


def test_words_have_the_times_at_which_they_are_said():
    words = timed_words(english_whisper(), QUESTION, ["What", "is", "the", "-", "capital", "of", "Italy?"])
    assert [word.text for word in words] == ["What", "is", "the", "-", "capital", "of", "Italy?"]
    assert words[3].start_s is None
    timed = [word for word in words if word.start_s is not None]
    late_s = np.abs([word.end_s for word in timed] - np.array(SAID_BEFORE_S))
    assert np.median(late_s) < 0.15
    assert late_s.max() < 0.4
    assert all(left.end_s <= right.start_s < right.end_s for left, right in pairwise(timed))


@pytest.mark.parametrize(
    ("samples", "text"),
    [
        (QUESTION, "the old library"),
        (QUESTION[:3000], "what is the capital of italy"),
        (QUESTION, "- ?"),
    ],
)
def test_words_that_cannot_be_found_have_no_times(samples, text):
    assert [word.start_s for word in timed_words(english_whisper(), samples, text.split())] == [None] * len(
        text.split()
    )


@pytest.mark.parametrize("hz", [80, 110, 160, 220, 300, 390])
def test_the_pitch_is_that_of_the_lowest_harmonic(hz):
    time = np.arange(RATE) / RATE
    tone = sum(np.sin(2 * np.pi * hz * k * time) / k for k in range(1, 8)).astype(np.float32)
    assert np.median(pitch_hz(tone, RATE)) == pytest.approx(hz, rel=0.02)
    assert voiced_seconds(tone, RATE) == pytest.approx(0.96, abs=0.02)


def test_noise_has_no_pitch():
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    assert np.count_nonzero(pitch_hz(noise, RATE)) <= 2
