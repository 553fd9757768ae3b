import shutil

import numpy as np
import pytest

from taste_speech.training.corpus.voices import REPLY_VOICE, TEST_VOICES, TRAIN_VOICES
from taste_speech.training.evaluation.material import in_fresh_voices, in_reply_voice
from taste_speech.training.evaluation.voices import FRESH_VOICES

TENS = ("ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred")
KNOWN = (*TRAIN_VOICES, *TEST_VOICES)


def test_fresh_voices_are_no_others():
    assert not {voice.name for voice in FRESH_VOICES} & {voice.name for voice in KNOWN}
    espeak = [voice.variant.partition("+")[2] for voice in FRESH_VOICES if voice.engine == "espeak"]
    assert all(espeak)
    assert not set(espeak) & {voice.variant.partition("+")[2] for voice in KNOWN}
    manner = [(v.engine, v.variant, v.rate, v.pitch, v.formants) for v in (*FRESH_VOICES, *KNOWN)]
    assert len(set(manner)) == len(manner)
    trained = {voice.variant for voice in TRAIN_VOICES if voice.engine == "flite"}
    assert not {voice.variant for voice in FRESH_VOICES if voice.engine == "flite"} & trained


@pytest.mark.skipif(not (shutil.which("flite") and shutil.which("espeak-ng")), reason="no flite or espeak-ng")
def test_questions_are_asked_by_fresh_voices():
    texts = [f"number {word} please" for word in TENS]
    spoken = in_fresh_voices(texts, noisy=False)
    assert [clip.text for clip in spoken] == texts
    names = {clip.voice for clip in spoken}
    assert names <= {voice.name for voice in FRESH_VOICES}
    assert len(names) > 3
    assert all(len(clip.samples) > 8000 and np.abs(clip.samples).max() > 0.05 for clip in spoken)


@pytest.mark.skipif(not shutil.which("flite"), reason="no flite")
def test_a_reply_is_said_plainly_by_the_reply_voice_each_time_it_is_asked_for():
    spoken = in_reply_voice(["Six o'clock.", "It is warm today.", "Six o'clock."])
    assert [clip.text for clip in spoken] == ["Six o'clock.", "It is warm today.", "Six o'clock."]
    assert {clip.voice for clip in spoken} == {REPLY_VOICE.name}
    assert np.array_equal(spoken[0].samples, spoken[2].samples)
    assert len(spoken[1].samples) > len(spoken[0].samples) > 8000
