"""Stage `units`: speech units of the reply voice, each a smooth spectrum at a level of pitch.

One unit covers `sampling_rate / units_per_second` samples. The spectrum is clustered without its harmonics,
so that it does not depend on the pitch. A unit includes a level of pitch because the flow knows nothing else
about the utterance: without it, intonation would be lost.
"""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from scipy.fft import dct, idct
from sklearn.cluster import MiniBatchKMeans

from taste_speech.checkpoint_files import UNITS
from taste_speech.configuration_base import StrictSection
from taste_speech.configuration_taste import TasteConfig
from taste_speech.training.config import StageContext
from taste_speech.training.corpus.audio_store import AudioStore, pitch_hz
from taste_speech.vocoder.configuration import VoiceGeneratorConfig
from taste_speech.vocoder.mel import log_mel

logger = logging.getLogger(__name__)
PITCH_WEIGHT, VOICING_WEIGHT = 0.35, 0.3
"""In distances between units, where the spectrum has about unit variance."""
_MADE_FROM = "voice_generator"
"""Metadata entry of a quantizer: configuration of the voice whose frames were clustered."""


class Settings(StrictSection):
    """Settings of the clustering."""

    stores: list[str] = ["reply", "reply2"]
    pitch_levels: int = 4
    """Number of equally frequent classes of pitch of each voiced spectrum."""
    voiced_spectra: int = 208
    """Spectra of voiced frames; the remaining units are unvoiced."""
    cepstra: int = 24
    """Cosine coefficients kept of each frame: enough for formants, too few for the harmonics of the pitch."""
    fit_frames: int = 200_000
    seed: int = 0


def frames_of(checkpoint: Path) -> VoiceGeneratorConfig:
    """Return the configuration of the frames that the units of a checkpoint stand for."""
    with safe_open(checkpoint / UNITS, "np") as file:
        given = (file.metadata() or {}).get(_MADE_FROM)
    if given is not None:
        return VoiceGeneratorConfig.model_validate_json(given)
    return TasteConfig.from_pretrained(checkpoint).voice_generator


def keep_units(source: Path, target: Path, frames: VoiceGeneratorConfig) -> None:
    """Copy a quantizer into a checkpoint, with the configuration of the frames that were clustered."""
    target.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor for name, tensor in load_file(source).items() if name != "centroids"}
    save_file(tensors, target, {_MADE_FROM: frames.model_dump_json()})


def unit_features(
    audio: np.ndarray,
    config: VoiceGeneratorConfig,
    pitch_at: Callable[[np.ndarray], np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return log-mel (units, bins) and F0 in Hz (units,) of audio (samples,) float, at the unit rate.

    Args:
        audio: samples at the rate of `config`.
        config: of the mel frames.
        pitch_at: returns F0 at times in seconds, where it is known; None: Praat measures it.
    """
    hop = config.sampling_rate_hz // config.units_per_second
    at_unit_rate = config.model_copy(update={"hop_samples": hop})
    mel = log_mel(torch.from_numpy(audio)[None], at_unit_rate)[0].T.numpy()
    centers_s = (np.arange(len(mel)) + 0.5) / config.units_per_second
    return mel, pitch_at(centers_s) if pitch_at else pitch_hz(audio, config.sampling_rate_hz, centers_s)


class UnitQuantizer:
    """Maps a frame to the nearest voiced or unvoiced spectrum, and a voiced frame to a class of pitch.

    Unit v * pitch_levels + level is voiced spectrum v at that level; the unvoiced spectra follow.
    Tensors: `mel_mean` and `mel_std` (bins,); `voiced` and `unvoiced` (spectra, cepstra); `pitch_edges`
    (pitch_levels - 1,) in log Hz; `centroids` (units, bins + 2): smooth spectrum, pitch level from -1 to 1,
    voicing.
    """

    def __init__(self, tensors: dict[str, np.ndarray], settings: Settings) -> None:
        self.tensors, self.settings = tensors, settings

    @classmethod
    def fit(
        cls, mels: list[np.ndarray], pitches: list[np.ndarray], count: int, settings: Settings
    ) -> "UnitQuantizer":
        """Cluster the frames of utterances, as from `unit_features`, into `count` units.

        Raises:
            ValueError: the settings leave no unvoiced unit.
        """
        n_unvoiced = count - settings.voiced_spectra * settings.pitch_levels
        if n_unvoiced < 1:
            raise ValueError(
                f"{settings.voiced_spectra} voiced spectra at {settings.pitch_levels} levels leave none of "
                f"{count} units unvoiced; lower voiced_spectra"
            )
        mel, f0 = np.concatenate(mels), np.concatenate(pitches)
        quantizer = cls({"mel_mean": mel.mean(0), "mel_std": mel.std(0)}, settings)
        points, voiced = quantizer.points(mel), f0 > 0
        shares = np.arange(1, settings.pitch_levels) / settings.pitch_levels
        tensors = {
            "voiced": _clusters(points[voiced], settings.voiced_spectra, settings),
            "unvoiced": _clusters(points[~voiced], n_unvoiced, settings),
            "pitch_edges": np.quantile(np.log(f0[voiced]), shares),
        }
        quantizer.tensors.update({name: value.astype(np.float32) for name, value in tensors.items()})
        quantizer.tensors["centroids"] = quantizer._centroids()
        return quantizer

    @classmethod
    def read(cls, path: Path, settings: Settings) -> "UnitQuantizer":
        """Read a file with or without centroids, which follow from the rest."""
        quantizer = cls(load_file(path), settings)
        quantizer.tensors.setdefault("centroids", quantizer._centroids())
        return quantizer

    def points(self, mel: np.ndarray) -> np.ndarray:
        """Return the coordinates (units, cepstra) in which distances are measured."""
        spectrum = (mel - self.tensors["mel_mean"]) / self.tensors["mel_std"]
        cepstra = dct(spectrum, norm="ortho", axis=1)[:, : self.settings.cepstra]
        return (cepstra / np.sqrt(mel.shape[1])).astype(np.float32)

    def encode(self, mel: np.ndarray, f0: np.ndarray) -> np.ndarray:
        """Return unit ids (units,) int16."""
        points, voiced = self.points(mel), f0 > 0
        levels = np.searchsorted(self.tensors["pitch_edges"], np.log(np.maximum(f0, 1.0)))
        as_voiced = _nearest(points, self.tensors["voiced"]) * self.settings.pitch_levels + levels
        first_unvoiced = len(self.tensors["voiced"]) * self.settings.pitch_levels
        as_unvoiced = _nearest(points, self.tensors["unvoiced"]) + first_unvoiced
        return np.where(voiced, as_voiced, as_unvoiced).astype(np.int16)

    def _centroids(self) -> np.ndarray:
        voiced, unvoiced = self.tensors["voiced"], self.tensors["unvoiced"]
        levels, bins = self.settings.pitch_levels, len(self.tensors["mel_mean"])
        spectra = np.concatenate([np.repeat(voiced, levels, axis=0), unvoiced])
        padded = np.pad(spectra, ((0, 0), (0, bins - spectra.shape[1])))
        level = np.concatenate([np.tile(np.linspace(-1, 1, levels), len(voiced)), np.zeros(len(unvoiced))])
        is_voiced = np.repeat([1.0, 0.0], [len(voiced) * levels, len(unvoiced)])
        smooth = idct(padded, norm="ortho", axis=1)
        extra = np.stack([PITCH_WEIGHT * level, VOICING_WEIGHT * is_voiced], 1)
        return np.concatenate([smooth, extra], 1).astype(np.float32)


def _clusters(points: np.ndarray, count: int, settings: Settings) -> np.ndarray:
    chosen = np.random.default_rng(settings.seed).permutation(len(points))[: settings.fit_frames]
    kmeans = MiniBatchKMeans(count, batch_size=8192, n_init=1, max_iter=60, random_state=settings.seed)
    return kmeans.fit(points[chosen]).cluster_centers_


def _nearest(points: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    return ((centroids**2).sum(1)[None] - 2 * points @ centroids.T).argmin(1)


def run(settings: Settings, context: StageContext) -> None:
    """Fit the quantizer on the training clips, encode all clips, and write both."""
    folder, config = context.folder("units"), context.config.voice_generator
    output, fitted = folder / "units.safetensors", folder / "quantizer.safetensors"
    done = load_file(output) if output.exists() else {}
    features, train = {}, []
    for name in settings.stores:
        store = AudioStore(context.folder("corpus") / name)
        for clip in store:
            if clip.id not in done:
                audio = store.samples(clip).astype(np.float32) / 32768
                features[clip.id] = unit_features(audio, config, partial(store.pitch_at, clip))
                train += [features[clip.id]] if clip.split == "train" else []
    if not features:
        return
    if fitted.exists():
        quantizer = UnitQuantizer(load_file(fitted), settings)
    else:
        mels, pitches = zip(*train, strict=True)
        quantizer = UnitQuantizer.fit(list(mels), list(pitches), config.unit_vocab_size, settings)
        save_file(quantizer.tensors, fitted)
    units = {key: quantizer.encode(mel, f0) for key, (mel, f0) in features.items()}
    used = len(np.unique(np.concatenate(list(units.values()))))
    logger.info("units: encoded %d utterances; %d of %d units used", len(units), used, config.unit_vocab_size)
    save_file({**done, **units}, output)
