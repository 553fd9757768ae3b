import itertools
import shutil

import numpy as np
import pytest

from taste_speech.training.corpus.speech import speak
from taste_speech.training.corpus.voices import REPLY_VOICE
from taste_speech.training.evaluation.judge import Judge

pytestmark = pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")
TEXT = "The weather in the garden is lovely, jeweller."


@pytest.fixture(scope="module")
def judge():
    return Judge()


@pytest.fixture(scope="module")
def samples():
    return speak(TEXT, REPLY_VOICE).astype(np.float32) / 32768


def test_clear_speech_is_understood(judge, samples):
    assert judge.transcribe(samples).startswith("the weather in the garden is")


def test_words_are_found_in_order(judge, samples):
    words = judge.align(samples, TEXT)
    assert [word.text for word in words] == [
        "the",
        "weather",
        "in",
        "the",
        "garden",
        "is",
        "lovely",
        "jeweller",
    ]
    assert all(a.end_s <= b.start_s for a, b in itertools.pairwise(words))
    assert words[-1].end_s <= len(samples) / 16_000 + 0.05


def test_times_follow_the_sound(judge, samples):
    later = judge.align(np.concatenate([np.zeros(8000, np.float32), samples]), TEXT)
    for word, shifted in zip(judge.align(samples, TEXT), later, strict=True):
        assert shifted.end_s == pytest.approx(word.end_s + 0.5, abs=0.06)


def test_noise_does_not_fit_any_text(judge):
    hiss = 0.1 * np.random.default_rng(0).standard_normal(8000).astype(np.float32)
    assert judge.align(hiss, "a much longer sentence than half a second can hold") is None
