import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from taste_speech.checkpoint_files import UNITS
from taste_speech.configuration_taste import TasteConfig
from taste_speech.training.stages.units import Settings, UnitQuantizer, frames_of, keep_units, unit_features
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
    settings = Settings(voiced_spectra=1, pitch_levels=3)
    quantizer = UnitQuantizer.fit([m for m, _ in everything], [p for _, p in everything], 4, settings)
    middles = [quantizer.encode(mel, f0)[10:40] for mel, f0 in everything]
    commonest = [np.bincount(units).argmax() for units in middles]
    assert len(set(commonest)) == 4


def test_units_tell_spectra_of_one_pitch_apart():
    bright, dark = tone(140.0), np.convolve(tone(140.0), np.ones(16) / 16, "same").astype(np.float32)
    hiss = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    features = [unit_features(audio, CONFIG) for audio in (bright, dark, hiss)]
    settings = Settings(voiced_spectra=2, pitch_levels=2)
    quantizer = UnitQuantizer.fit([m for m, _ in features], [p for _, p in features], 5, settings)
    spectra = [np.bincount(quantizer.encode(mel, f0)[10:40] // 2).argmax() for mel, f0 in features]
    assert sorted(spectra[:2]) == [0, 1]
    assert spectra[2] == 2
    assert quantizer.tensors["centroids"].shape == (5, CONFIG.mel_bins + 2)


def test_more_voiced_units_than_units_are_refused():
    mel, f0 = unit_features(tone(140.0), CONFIG)
    with pytest.raises(ValueError, match="lower voiced_spectra"):
        UnitQuantizer.fit([mel], [f0], 8, Settings(voiced_spectra=4, pitch_levels=2))


def test_centroids_follow_from_what_a_checkpoint_keeps(tmp_path):
    features = [unit_features(tone(f), CONFIG) for f in (100.0, 140.0)]
    hiss = unit_features(np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32), CONFIG)
    settings = Settings(voiced_spectra=2, pitch_levels=2)
    everything = [*features, hiss]
    fitted = UnitQuantizer.fit([m for m, _ in everything], [p for _, p in everything], 5, settings)
    kept = {name: value for name, value in fitted.tensors.items() if name != "centroids"}
    save_file(kept, tmp_path / "quantizer.safetensors")
    read = UnitQuantizer.read(tmp_path / "quantizer.safetensors", settings)
    np.testing.assert_array_equal(read.tensors["centroids"], fitted.tensors["centroids"])
    for mel, f0 in everything:
        np.testing.assert_array_equal(read.encode(mel, f0), fitted.encode(mel, f0))


def test_units_tell_of_which_frames_they_were_made_when_the_voice_is_another(tmp_path, tiny_checkpoint):
    old = CONFIG.model_copy(update={"sampling_rate_hz": 8000, "mel_bins": 12})
    save_file({"voiced": np.zeros((3, 4), np.float32)}, tmp_path / "made.safetensors")
    keep_units(tmp_path / "made.safetensors", tmp_path / "first" / UNITS, old)
    keep_units(tmp_path / "first" / UNITS, tmp_path / "second" / UNITS, frames_of(tmp_path / "first"))
    assert frames_of(tmp_path / "second") == old
    bare = Path(shutil.copytree(tiny_checkpoint, tmp_path / "bare"))
    (bare / UNITS).parent.mkdir()
    shutil.copy(tmp_path / "made.safetensors", bare / UNITS)
    assert frames_of(bare) == TasteConfig.from_pretrained(bare).voice_generator
