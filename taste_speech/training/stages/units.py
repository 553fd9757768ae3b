"""Stage `units`: speech units of the reply voice by k-means on mel frames and pitch.

One unit covers `sampling_rate / units_per_second` samples. Pitch joins the spectrum because the flow hears
nothing of the voice but its units: without it, intonation would be lost between unit decoder and mel.
"""

import logging

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from sklearn.cluster import MiniBatchKMeans

from taste_speech.configuration_base import StrictSection
from taste_speech.training.config import StageContext
from taste_speech.training.corpus.audio_store import AudioStore
from taste_speech.training.pitch import pitch_hz
from taste_speech.vocoder.configuration import VoiceGeneratorConfig
from taste_speech.vocoder.mel import log_mel

logger = logging.getLogger(__name__)


class Settings(StrictSection):
    """Of the k-means."""

    stores: list[str] = ["reply", "reply2"]
    pitch_weight: float = 0.35
    """Standard deviation of log F0 relative to that of the whole (standardised) spectrum."""
    voicing_weight: float = 0.3
    fit_frames: int = 200_000
    seed: int = 0


def unit_features(audio: np.ndarray, config: VoiceGeneratorConfig) -> tuple[np.ndarray, np.ndarray]:
    """Log-mel (units, bins) and F0 in Hz (units,) of audio (samples,) float, at the unit rate."""
    hop = config.sampling_rate_hz // config.units_per_second
    at_unit_rate = config.model_copy(update={"hop_samples": hop})
    mel = log_mel(torch.from_numpy(audio)[None], at_unit_rate)[0].T.numpy()
    centres_s = (np.arange(len(mel)) + 0.5) / config.units_per_second
    return mel, pitch_hz(audio, config.sampling_rate_hz, centres_s)


class UnitQuantizer:
    """Nearest centroid in the joint space of spectrum and pitch."""

    def __init__(self, tensors: dict[str, np.ndarray], settings: Settings) -> None:
        self.tensors, self.settings = tensors, settings

    @classmethod
    def fit(
        cls, mels: list[np.ndarray], pitches: list[np.ndarray], count: int, settings: Settings
    ) -> "UnitQuantizer":
        """Cluster the frames of these utterances into `count` units."""
        mel, f0 = np.concatenate(mels), np.concatenate(pitches)
        log_f0 = np.log(f0[f0 > 0])
        statistics = {
            "mel_mean": mel.mean(0),
            "mel_std": mel.std(0),
            "pitch": np.array([log_f0.mean(), log_f0.std()], np.float32),
        }
        quantizer = cls({name: value.astype(np.float32) for name, value in statistics.items()}, settings)
        points = quantizer.points(mel, f0)
        chosen = np.random.default_rng(settings.seed).permutation(len(points))[: settings.fit_frames]
        kmeans = MiniBatchKMeans(count, batch_size=8192, n_init=1, max_iter=60, random_state=settings.seed)
        kmeans.fit(points[chosen])
        quantizer.tensors["centroids"] = kmeans.cluster_centers_.astype(np.float32)
        return quantizer

    def points(self, mel: np.ndarray, f0: np.ndarray) -> np.ndarray:
        """Coordinates (units, bins + 2) in which distances are measured."""
        spectrum = (mel - self.tensors["mel_mean"]) / self.tensors["mel_std"] / np.sqrt(mel.shape[1])
        mean, std = self.tensors["pitch"]
        voiced = f0 > 0
        pitch = np.where(voiced, (np.log(np.maximum(f0, 1.0)) - mean) / std, 0.0)
        extra = np.stack([self.settings.pitch_weight * pitch, self.settings.voicing_weight * voiced], 1)
        return np.concatenate([spectrum, extra], 1).astype(np.float32)

    def encode(self, mel: np.ndarray, f0: np.ndarray) -> np.ndarray:
        """Unit ids (units,) int16."""
        centroids = self.tensors["centroids"]
        points = self.points(mel, f0)
        distance = (centroids**2).sum(1)[None] - 2 * points @ centroids.T
        return distance.argmin(1).astype(np.int16)


def run(settings: Settings, context: StageContext) -> None:
    """Fit on the train split, encode everything; writes the quantizer and `units.safetensors`."""
    folder, config = context.folder("units"), context.config.voice_generator
    output = folder / "units.safetensors"
    done = load_file(output) if output.exists() else {}
    features = {}
    entries = {}
    for name in settings.stores:
        store = AudioStore(context.folder("corpus") / name)
        for entry in store:
            if entry.id not in done:
                audio = store.samples(entry).astype(np.float32) / 32768
                features[entry.id], entries[entry.id] = unit_features(audio, config), entry
    if not features:
        return
    fitted = folder / "quantizer.safetensors"
    if fitted.exists():
        quantizer = UnitQuantizer(load_file(fitted), settings)
    else:
        train = [key for key, entry in entries.items() if entry.split == "train"]
        quantizer = UnitQuantizer.fit(
            [features[k][0] for k in train], [features[k][1] for k in train], config.unit_vocab_size, settings
        )
        save_file(quantizer.tensors, fitted)
    units = {key: quantizer.encode(mel, f0) for key, (mel, f0) in features.items()}
    used = len(np.unique(np.concatenate(list(units.values()))))
    logger.info("encoded %d utterances; %d of %d units used", len(units), used, config.unit_vocab_size)
    save_file({**done, **units}, output)
