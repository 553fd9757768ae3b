import json

import numpy as np
import pytest
import soundfile

from taste_speech.errors import TasteError
from taste_speech.training.corpus.audio_store import Timing
from taste_speech.training.corpus.listeners import HELD_OUT_VOICES
from taste_speech.training.corpus.reply_voice import Spoken
from taste_speech.training.evaluation import sounds
from taste_speech.training.evaluation.sounds import RATE_HZ, Voices


class Speaker:
    """Speaks a second of noise; refuses digits."""

    def __init__(self):
        self.said = []

    def speak(self, text, *_):
        if any(letter.isdigit() for letter in text):
            raise ValueError("said as several words")
        self.said.append(text)
        noise = np.random.default_rng(len(text)).integers(-9000, 9000, 24_000).astype(np.int16)
        return Spoken(noise, np.zeros(0, np.float32), Timing([0.5, 1.0], []))


@pytest.fixture
def voices(tmp_path):
    voices = Voices(tmp_path, tmp_path / "styles", "test")
    voices.__dict__ |= {"_listeners": Speaker(), "_reply_voice": Speaker()}
    return voices


def test_a_sound_is_spoken_once_and_then_read(voices, tmp_path):
    first = voices.asked("twenty-one cats")
    again = voices.asked("twenty-one cats")
    assert voices._listeners.said == ["twenty one cats"]
    assert first.voice in HELD_OUT_VOICES
    assert (first.text, len(first.samples), first.word_ends_s) == ("twenty-one cats", RATE_HZ, (0.5, 1.0))
    assert np.array_equal(first.samples, again.samples)
    assert voices.asked("7 cats") is None
    assert voices.natural("twenty-one cats").voice == "natural"


def test_noise_is_so_far_below_the_speech():
    speech = 0.1 * np.sin(np.arange(RATE_HZ)).astype(np.float32)
    noise = sounds.with_noise(speech, "seed") - speech
    assert 20 * np.log10(speech.std() / noise.std()) == pytest.approx(10, abs=0.2)
    assert np.array_equal(sounds.with_noise(speech, "seed"), sounds.with_noise(speech, "seed"))


def test_disturbances_are_of_every_kind_and_the_same_at_every_call():
    clips = list(sounds.disturbances(48))
    assert [clip.voice.split()[0] for clip in clips] == list(sounds._NO_SPEECH)
    for clip, again in zip(clips, sounds.disturbances(48), strict=True):
        assert np.array_equal(clip.samples, again.samples)
        assert len(clip.samples) == 6 * RATE_HZ
        assert np.isfinite(clip.samples).all()
        assert clip.voice.startswith("silence") or 0.02 < np.abs(clip.samples).max() < 0.3


def test_recordings_are_mixed_down_and_brought_to_one_rate(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros((8000, 2)), 8000)
    (tmp_path / "texts.json").write_text(json.dumps({"a.wav": "Hello."}))
    (clip,) = sounds.recordings(tmp_path)
    assert (clip.text, clip.samples.shape) == ("Hello.", (RATE_HZ,))


def test_missing_prompts_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(sounds, "PROMPTS", tmp_path / "none")
    with pytest.raises(TasteError, match="apt-get install asterisk-core-sounds-en"):
        list(sounds.prompts())


@pytest.mark.skipif(not sounds.PROMPTS.exists(), reason="the asterisk prompts are not installed")
def test_prompts_have_words_without_digits():
    pytest.importorskip("av", reason="PyAV is not installed (extra `evaluate`)")
    clips = list(sounds.prompts())
    assert len(clips) > 100
    assert all(5 <= len(clip.text.split()) <= 16 and len(clip.samples) > RATE_HZ for clip in clips)
    assert not any(letter.isdigit() for clip in clips for letter in clip.text)
