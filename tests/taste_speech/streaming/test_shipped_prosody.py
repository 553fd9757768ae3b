"""What the shipped checkpoint's taste tokens carry: the same words, said higher or lower, come out so."""

import shutil

import numpy as np
import pytest

from taste_speech import TasteForCausalLM, TasteProcessor
from taste_speech.training.corpus.pitch import track_f0
from taste_speech.training.corpus.speech import SAMPLE_RATE_HZ, Manner, speak
from taste_speech.training.corpus.voices import REPLY_VOICE
from taste_speech.training.evaluation.material import Spoken, to_float
from taste_speech.training.evaluation.voice import retell, text_only

pytestmark = pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")
SENTENCES = ("The train to the harbour leaves in the morning.", "My brother lives near the old river.")
LOW, HIGH = 0.87, 1.2


@pytest.fixture(scope="module")
def shipped():
    model, processor = TasteForCausalLM.from_pretrained("small"), TasteProcessor.from_pretrained("small")
    return model, processor, next(iter(processor.voices().values()))


def median_hz(samples: np.ndarray) -> float:
    """Of the voiced frames of float samples."""
    f0 = track_f0(samples * 32768, SAMPLE_RATE_HZ)
    return float(np.median(f0[f0 > 0]))


@pytest.mark.parametrize("text", SENTENCES)
def test_what_is_said_higher_comes_out_higher(shipped, text):
    model, processor, speaker = shipped
    spoken = [
        Spoken(text, to_float(speak(text, REPLY_VOICE, Manner(pitch=pitch))), "rms") for pitch in (LOW, HIGH)
    ]
    low, high = (retell(model, processor, speaker, s) for s in spoken)
    assert median_hz(spoken[1].samples) / median_hz(spoken[0].samples) > 1.25  # else nothing was asked
    assert median_hz(high) / median_hz(low) > 1.08
    muted = text_only(model)
    assert np.array_equal(*(retell(muted, processor, speaker, s) for s in spoken))
