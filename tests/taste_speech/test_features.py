import numpy as np
import pytest
import torch
from transformers import WhisperFeatureExtractor

from taste_speech.configuration_sections import TowerConfig
from taste_speech.features import LogMelFeatures


def noise(samples, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


@pytest.mark.parametrize("bins", [80, 128])
@pytest.mark.parametrize("samples", [1, 16000, 40001])
def test_equals_the_stock_extractor(bins, samples):
    stock = WhisperFeatureExtractor(feature_size=bins)
    expected = stock(noise(samples), sampling_rate=16000, return_tensors="pt").input_features.transpose(1, 2)
    features = LogMelFeatures(TowerConfig(num_mel_bins=bins))(noise(samples))
    torch.testing.assert_close(features, expected, rtol=0, atol=2e-4)


def test_silence_is_finite():
    features = LogMelFeatures(TowerConfig())(np.zeros(16000, np.float32))
    assert torch.equal(features, torch.full((1, 3000, 128), -1.5))


@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (400, 1), (16000, 62), (16000 + 255, 63)])
def test_unpadded_has_one_frame_for_each_hop(samples, frames):
    extract = LogMelFeatures(TowerConfig(pad_to_max_source=False, hop_samples=256))
    assert extract(noise(samples)).shape == (1, frames, 128)
    assert extract.frame_count(samples) == frames


def test_audio_is_padded_to_the_smallest_window_that_holds_it():
    extract = LogMelFeatures(TowerConfig(source_windows=[1000, 500, 1500]))
    for seconds, frames in ((0.01, 1000), (3, 1000), (10, 1000), (10.1, 2000), (20.1, 3000), (31, 3000)):
        assert extract(noise(int(seconds * 16000))).shape[1] == frames
    short = noise(8000)
    silence = torch.zeros(160000 - 8000)
    whole = LogMelFeatures(TowerConfig(pad_to_max_source=False))(
        torch.cat([torch.from_numpy(short), silence])
    )
    torch.testing.assert_close(extract(short), whole)


def test_longest_utterance_is_thirty_seconds():
    assert LogMelFeatures(TowerConfig()).max_duration_s == 30.0
