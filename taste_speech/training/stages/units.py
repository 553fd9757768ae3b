"""Stage `units`: speech units of the reply voice, each a smooth spectrum at a level of pitch.

One unit covers `sampling_rate / units_per_second` samples. The spectrum is clustered without the harmonics,
so that what is said does not depend on how high it is said; the level of pitch is there because the flow
hears nothing of the voice but its units and intonation would be lost otherwise.
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
from taste_speech.training.corpus import AudioStore, Clip, pitch_hz
from taste_speech.vocoder.configuration import VoiceGeneratorConfig
from taste_speech.vocoder.mel import log_mel

logger = logging.getLogger(__name__)
PITCH_WEIGHT, VOICING_WEIGHT = 0.35, 0.3
"""Of pitch and voicing in distances between units, where the spectrum has about unit variance."""


class Settings(StrictSection):
    """Of the k-means."""

    stores: list[str] = ["reply", "reply2"]
    pitch_levels: int = 4
    """Classes of pitch, equally frequent, into which each voiced spectrum is divided."""
    voiced_spectra: int = 208
    """Spectra of voiced frames; the rest of the units are unvoiced ones."""
    cepstra: int = 24
    """Cosine coefficients kept of each frame: enough for formants, too few for the harmonics of the pitch."""
    fit_frames: int = 200_000
    start_clips: int = 500
    """Clips in which the units of the checkpoint to begin with are looked up."""
    seed: int = 0


_MADE_FROM = "voice_generator"
"""Entry of a quantizer's metadata: the configuration of the voice whose frames were clustered, where the
checkpoint speaks in another."""


def frames_of(checkpoint: Path) -> VoiceGeneratorConfig:
    """Return the configuration of the frames that the units of a checkpoint stand for."""
    with safe_open(checkpoint / UNITS, "np") as file:
        given = (file.metadata() or {}).get(_MADE_FROM)
    if given is not None:
        return VoiceGeneratorConfig.model_validate_json(given)
    return TasteConfig.from_pretrained(checkpoint).voice_generator


def keep_units(source: Path, target: Path, frames: VoiceGeneratorConfig) -> None:
    """Copy what units stand for, so that training can go on from the checkpoint.

    Args:
        source: file of a quantizer.
        target: file in a checkpoint.
        frames: configuration of the voice whose frames were clustered.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor for name, tensor in load_file(source).items() if name != "centroids"}
    save_file(tensors, target, {_MADE_FROM: frames.model_dump_json()})


def unit_features(
    audio: np.ndarray,
    config: VoiceGeneratorConfig,
    pitch_at: Callable[[np.ndarray], np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Log-mel (units, bins) and F0 in Hz (units,) of audio (samples,) float, at the unit rate.

    Args:
        pitch_at: gives F0 at times in seconds, where it is known; else Praat finds it.
    """
    hop = config.sampling_rate_hz // config.units_per_second
    at_unit_rate = config.model_copy(update={"hop_samples": hop})
    mel = log_mel(torch.from_numpy(audio)[None], at_unit_rate)[0].T.numpy()
    centers_s = (np.arange(len(mel)) + 0.5) / config.units_per_second
    return mel, pitch_at(centers_s) if pitch_at else pitch_hz(audio, config.sampling_rate_hz, centers_s)


class UnitQuantizer:
    """Nearest spectrum among those of voiced or unvoiced frames, and for voiced ones the class of pitch.

    Unit v * pitch_levels + level is voiced spectrum v at that level; unvoiced spectra follow after the last.
    Tensors: mel_mean and mel_std (bins,); voiced and unvoiced (spectra, cepstra); pitch_edges
    (pitch_levels - 1,) in log Hz; centroids (units, bins + 2): smooth spectrum, pitch level from -1 to 1,
    voicing.
    """

    def __init__(self, tensors: dict[str, np.ndarray], settings: Settings) -> None:
        self.tensors, self.settings = tensors, settings

    @classmethod
    def fit(
        cls,
        mels: list[np.ndarray],
        pitches: list[np.ndarray],
        count: int,
        settings: Settings,
        spectra: np.ndarray | None = None,
    ) -> "UnitQuantizer":
        """Cluster the frames of these utterances into `count` units.

        Args:
            mels, pitches: of `unit_features`.
            count: of units.
            settings: of the clusters.
            spectra: number of the spectrum that other units give to each of the first frames, voiced ones
                first; the clusters begin there, so that a unit stands for what it stood for among those.
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
        begin = np.full(len(points), -1)
        if spectra is not None:
            begin[: len(spectra)] = spectra
        begin[~voiced] -= settings.voiced_spectra
        tensors = {
            "voiced": _clusters(points[voiced], begin[voiced], settings.voiced_spectra, settings),
            "unvoiced": _clusters(points[~voiced], begin[~voiced], n_unvoiced, settings),
            "pitch_edges": np.quantile(np.log(f0[voiced]), shares),
        }
        quantizer.tensors.update({name: value.astype(np.float32) for name, value in tensors.items()})
        quantizer.tensors["centroids"] = quantizer._centroids()
        return quantizer

    @classmethod
    def read(cls, path: Path, settings: Settings) -> "UnitQuantizer":
        """From a file, with or without centroids (they follow from the rest)."""
        quantizer = cls(load_file(path), settings)
        quantizer.tensors.setdefault("centroids", quantizer._centroids())
        return quantizer

    def points(self, mel: np.ndarray) -> np.ndarray:
        """Coordinates (units, cepstra) in which distances are measured."""
        spectrum = (mel - self.tensors["mel_mean"]) / self.tensors["mel_std"]
        cepstra = dct(spectrum, norm="ortho", axis=1)[:, : self.settings.cepstra]
        return (cepstra / np.sqrt(mel.shape[1])).astype(np.float32)

    def encode(self, mel: np.ndarray, f0: np.ndarray) -> np.ndarray:
        """Unit ids (units,) int16."""
        points, voiced = self.points(mel), f0 > 0
        levels = np.searchsorted(self.tensors["pitch_edges"], np.log(np.maximum(f0, 1.0)))
        as_voiced = _nearest(points, self.tensors["voiced"]) * self.settings.pitch_levels + levels
        first_unvoiced = len(self.tensors["voiced"]) * self.settings.pitch_levels
        as_unvoiced = _nearest(points, self.tensors["unvoiced"]) + first_unvoiced
        return np.where(voiced, as_voiced, as_unvoiced).astype(np.int16)

    def spectra(self, mels: list[np.ndarray], pitches: list[np.ndarray]) -> np.ndarray:
        """Number of the nearest spectrum of each frame, voiced ones first.

        The mean and the deviation of these frames take the place of its own: they may be of another voice.
        """
        mel, voiced = np.concatenate(mels), np.concatenate(pitches) > 0
        own = {"mel_mean": mel.mean(0), "mel_std": mel.std(0)}
        points = UnitQuantizer({**self.tensors, **own}, self.settings).points(mel)
        as_unvoiced = len(self.tensors["voiced"]) + _nearest(points, self.tensors["unvoiced"])
        return np.where(voiced, _nearest(points, self.tensors["voiced"]), as_unvoiced)

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


def _clusters(points: np.ndarray, begin: np.ndarray, count: int, settings: Settings) -> np.ndarray:
    """Centers (count, cepstra); each begins at the mean of the points for which `begin` has its number."""
    chosen = np.random.default_rng(settings.seed).permutation(len(points))[: settings.fit_frames]
    known = begin >= 0
    numbers = np.bincount(begin[known], minlength=count)
    sums = np.zeros((count, points.shape[1]), np.float32)
    np.add.at(sums, begin[known], points[known])
    centers = np.where(numbers[:, None] > 0, sums / np.maximum(numbers, 1)[:, None], points[chosen[:count]])
    kmeans = MiniBatchKMeans(
        count,
        init=centers if known.any() else "k-means++",
        batch_size=8192,
        n_init=1,
        max_iter=60,
        random_state=settings.seed,
    )
    return kmeans.fit(points[chosen]).cluster_centers_


def _nearest(points: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    return ((centroids**2).sum(1)[None] - 2 * points @ centroids.T).argmin(1)


def old_spectra(
    clips: list[tuple[AudioStore, Clip]], counts: list[int], settings: Settings, start: Path
) -> np.ndarray:
    """Number of the spectrum that the units of checkpoint `start` give to each frame of clips.

    Args:
        clips: with the stores they are in.
        counts: frames of each clip.
        settings: of the stage.
        start: folder of the checkpoint.
    """
    config = frames_of(start)
    mels, pitches = [], []
    for (store, clip), count in zip(clips, counts, strict=True):
        samples = store.samples_at(clip, config.sampling_rate_hz)
        mel, f0 = unit_features(samples, config, partial(store.pitch_at, clip))
        mels.append(np.pad(mel, ((0, 1), (0, 0)), "edge")[:count])  # at another rate it may have one less
        pitches.append(np.pad(f0, (0, 1))[:count])
    return UnitQuantizer.read(start / UNITS, settings).spectra(mels, pitches)


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
                features[entry.id] = unit_features(audio, config, partial(store.pitch_at, entry))
                entries[entry.id] = entry
    if not features:
        return
    fitted = folder / "quantizer.safetensors"
    if fitted.exists():
        quantizer = UnitQuantizer(load_file(fitted), settings)
    else:
        train = [key for key, entry in entries.items() if entry.split == "train"]
        mels, pitches = ([features[key][part] for key in train] for part in (0, 1))
        begin = None
        if context.start is not None:
            stores = [AudioStore(context.folder("corpus") / name) for name in settings.stores]
            of_clip = {clip.id: (store, clip) for store in stores for clip in store}
            known = train[: settings.start_clips]
            counts = [len(features[key][0]) for key in known]
            begin = old_spectra([of_clip[key] for key in known], counts, settings, context.start)
        quantizer = UnitQuantizer.fit(mels, pitches, config.unit_vocab_size, settings, begin)
        save_file(quantizer.tensors, fitted)
    units = {key: quantizer.encode(mel, f0) for key, (mel, f0) in features.items()}
    used = len(np.unique(np.concatenate(list(units.values()))))
    logger.info("encoded %d utterances; %d of %d units used", len(units), used, config.unit_vocab_size)
    save_file({**done, **units}, output)
