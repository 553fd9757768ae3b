"""A run whose first stages have left what the others need."""

from types import SimpleNamespace

import numpy as np
import pytest

from taste_speech.phones import PAUSE, PHONES, marked_phones
from taste_speech.training.config import StageContext
from taste_speech.training.corpus.audio_store import AudioStore
from taste_speech.training.stages import taste, vocoder
from taste_speech.vocoder.configuration import SourceFilterConfig
from taste_speech.words import pronounced_words

TEXTS = ("the train leaves", "at half past nine", "i think so", "i think nine leaves")
"""The last one is of valid, and of words that the others have."""


def _phones(words, ends):
    """The phones of words that end then, each with the time at which it ends; a pause before the last one."""
    found, start = [], 0.0
    for pronounced, end in zip(pronounced_words(words), ends, strict=True):
        if end == ends[-1]:
            start += 0.1
            found.append((PAUSE, start))
        phones = [PHONES[marked % len(PHONES)] for marked in marked_phones(pronounced)]
        found += zip(phones, np.linspace(start, end, len(phones) + 1)[1:].tolist(), strict=True)
        start = end
    return found


@pytest.fixture
def context(tmp_path, tiny_phones_model, monkeypatch):
    """A run whose earlier stages have left what this one needs."""
    rng, context = np.random.default_rng(0), StageContext(tmp_path, tiny_phones_model.config)
    store = AudioStore(context.folder("corpus") / "reply")
    manner = {"voice": "ada", "rate": 1.0, "pitch": 1.0, "slope": 0.0, "emphasis": None}
    for number, text in enumerate(TEXTS):
        key, split = f"clip-{number}", "valid" if number == 3 else "train"
        sound = rng.integers(-3000, 3000, 16000, dtype=np.int16)
        ends = np.linspace(0, 1, len(text.split()) + 1)[1:].tolist()
        timing = {"word_ends": ends, "phones": _phones(text.split(), ends)}
        f0 = np.linspace(120 + 40 * number, 300, 100, dtype=np.float32)
        store.append(sound, f0, id=key, split=split, text=text, **timing, **manner)
    given = tiny_phones_model.audio_tower.encoder.state_dict()
    monkeypatch.setattr(taste, "pretrained_encoder", lambda: given)
    return context


@pytest.fixture
def filtering(context, monkeypatch):
    """The run with a source-filter vocoder, and a voice whose spectra are the same at all times."""
    voice = context.config.voice_generator
    sizes = SourceFilterConfig(n_fft=4 * voice.hop_samples, channels=8, dilations=[1])
    monkeypatch.setattr(context.config, "voice_generator", voice.model_copy(update={"source_filter": sizes}))
    frames, bins = 16000 // voice.hop_samples, 2 * voice.hop_samples + 1
    levels = np.array([-2.0, -4.0, -3.0, 0.5, -1.0], np.float32)
    spectra = np.tile(levels[:, None], (frames, 1, bins))
    sound = np.random.default_rng(0).integers(-3000, 3000, frames * voice.hop_samples, dtype=np.int16)
    spoken = SimpleNamespace(samples=sound, f0_hz=np.full(frames, 120.0, np.float32))
    said = SimpleNamespace(spectra=lambda *_: spectra, speak=lambda *_: spoken)
    monkeypatch.setattr(vocoder, "ReplyVoice", lambda _: said)
    return context
