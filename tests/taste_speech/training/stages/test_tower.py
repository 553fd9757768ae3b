import shutil

import numpy as np
import pytest
import torch

from taste_speech.training.corpus.audio_store import AudioStore
from taste_speech.training.stages.tower import ClipPitch, Speech

TONE_HZ = 150.0


@pytest.fixture
def speech(tmp_path, tiny_checkpoint, tiny_model):
    """A clip of silence, a humming tone and silence, and one of silence alone."""
    rate = tiny_model.config.tower.sampling_rate_hz
    time_s = np.arange(rate) / rate
    hum = sum(np.sin(2 * np.pi * TONE_HZ * k * time_s) / k for k in range(1, 8))
    silence = np.zeros(rate // 2)
    store = AudioStore(tmp_path / "clips")
    manner = {"voice": "ada", "rate": 1.0, "pitch": 1.0, "slope": 0.0, "emphasis": None}
    for key, sound in (("hum", np.concatenate([silence, hum, silence])), ("still", silence)):
        store.append((sound * 6000).astype(np.int16), id=key, split="train", text="a b", **manner)
    shutil.copytree(tiny_checkpoint / "asr", tmp_path / "asr")
    return Speech([store], tiny_model.config.tower, tmp_path / "asr")


def test_the_pitch_of_a_clip_lies_where_it_sounds(speech):
    batch = speech.batch([speech.samples(0), speech.samples(1)], [[0], [1]])
    f0_hz = ClipPitch(speech)(batch)
    frames = 2 * speech.tower.hop_samples / speech.tower.sampling_rate_hz
    inside = torch.arange(round(0.6 / frames), round(1.4 / frames))
    assert f0_hz[0, inside].tolist() == pytest.approx([TONE_HZ] * len(inside), rel=0.01)
    assert not f0_hz[0, : round(0.4 / frames)].any()
    assert not f0_hz[0, round(1.6 / frames) : round(1.9 / frames)].any()
    assert set(f0_hz[1].tolist()) == {0.0, -1.0}


def test_clips_in_a_row_have_their_pitch_in_a_row(speech):
    both = np.concatenate([speech.samples(1), speech.samples(0)])
    batch = speech.batch([both], [[1, 0]])
    f0_hz = ClipPitch(speech)(batch)[0]
    assert batch.texts == ["a b a b"]
    frames = 2 * speech.tower.hop_samples / speech.tower.sampling_rate_hz
    assert f0_hz[round(1.5 / frames)].item() == pytest.approx(TONE_HZ, rel=0.01)
    assert f0_hz[round(0.7 / frames)].item() == 0.0
