import numpy as np

from taste_speech.training.stages.units import Settings, UnitQuantizer, unit_features
from taste_speech.vocoder.configuration import VoiceGeneratorConfig


def tone(f0_hz: float, seconds: float = 1.0, rate_hz: int = 16000) -> np.ndarray:
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    return sum(0.1 / k * np.sin(2 * np.pi * k * f0_hz * t) for k in range(1, 20)).astype(np.float32)


CONFIG = VoiceGeneratorConfig(sampling_rate_hz=16000)


def test_features_are_fifty_a_second_with_the_right_pitch():
    mel, f0 = unit_features(tone(150.0), CONFIG)
    assert mel.shape == (50, CONFIG.mel_bins)
    assert abs(np.median(f0) - 150) < 3


def test_units_tell_pitches_of_one_timbre_apart():
    features = [unit_features(tone(f), CONFIG) for f in (100.0, 140.0, 200.0)]
    noise = unit_features(np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32), CONFIG)
    everything = [*features, noise]
    quantizer = UnitQuantizer.fit([m for m, _ in everything], [p for _, p in everything], 8, Settings())
    middles = [quantizer.encode(mel, f0)[10:40] for mel, f0 in everything]
    commonest = [np.bincount(units).argmax() for units in middles]
    assert len(set(commonest)) == 4
