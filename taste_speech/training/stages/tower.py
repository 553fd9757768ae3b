"""Stage `tower`: the Whisper-shaped encoder, trained as a recogniser on listener voices and the reply voice.

Its encoder then feeds the aggregator (stage `autoencoder`), and encoder and decoder together are the
recogniser that the checkpoint carries.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoTokenizer

from taste_speech.audio_tower.configuration import TowerConfig
from taste_speech.audio_tower.encoder import encoder_frames
from taste_speech.configuration_base import StrictSection
from taste_speech.features import LogMelFeatures
from taste_speech.training.batching import LengthBatches
from taste_speech.training.config import StageContext
from taste_speech.training.corpus.audio_store import AudioStore, Clip
from taste_speech.training.corpus.augmentation import augment
from taste_speech.training.loop import LoopSettings, Losses, TrainingLoop
from taste_speech.training.pitch import pitch_hz
from taste_speech.training.recogniser import Recogniser
from taste_speech.training.word_errors import spoken_words, word_error_rate

logger = logging.getLogger(__name__)


class Settings(StrictSection):
    """Of the recogniser's training."""

    loop: LoopSettings = LoopSettings()
    stores: list[str] = ["listeners", "reply"]
    batch_seconds: float = 36.0
    """Padded audio in one batch."""
    clean_part: float = 0.4
    """Fraction of the utterances that are not augmented."""
    joined_part: float = 0.15
    """Fraction of the items that are two or three utterances in a row, so that long audio is known."""
    masks: int = 2
    """Masks over time and over mel bins (Park et al., 2019), each."""
    mask_frames: int = 20
    mask_bins: int = 12
    ctc_weight: float = 0.4
    pitch_weight: float = 0.3
    """Of the pitch told from the aggregator's values: taste tokens cannot carry what these do not hold."""
    label_smoothing: float = 0.05
    dropout: float = 0.0
    evaluated_clips: int = 48


@dataclass(frozen=True)
class Batch:
    """Utterances as the recogniser takes them."""

    features: Tensor  # (batch, mel frames, bins)
    n_frames: Tensor  # (batch,)
    token_ids: list[list[int]]
    texts: list[str]
    clips: list[list[int]]
    """Indices of those that each item consists of."""

    def to(self, device: torch.device) -> Self:
        """The same with its tensors on a device."""
        return replace(self, features=self.features.to(device), n_frames=self.n_frames.to(device))


class Speech:
    """Clips of several stores as batches of features and ASR tokens."""

    def __init__(self, stores: list[AudioStore], tower: TowerConfig, tokenizer_folder: Path) -> None:
        self.tower, self.features = tower, LogMelFeatures(tower)
        self.tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
        self.stores = stores
        self.clips: list[tuple[AudioStore, Clip]] = [(store, clip) for store in stores for clip in store]

    def of_split(self, *splits: str) -> list[int]:
        """Indices of the clips of these splits."""
        return [i for i, (_, clip) in enumerate(self.clips) if clip.split in splits]

    def samples(self, index: int) -> np.ndarray:
        """(T,) float32 of one clip."""
        store, clip = self.clips[index]
        return store.samples(clip).astype(np.float32) / 32768

    def text(self, index: int) -> str:
        """What was said, as the recogniser writes it: lower case, no punctuation."""
        return " ".join(spoken_words(self.clips[index][1].text))

    def batch(self, audio: list[np.ndarray], groups: list[list[int]]) -> Batch:
        """Features and token ids of some utterances, each of the clips of a group in a row."""
        features, n_frames = self.features.batch(audio)
        texts = [" ".join(self.text(i) for i in group) for group in groups]
        ids = self.tokenizer([f" {text}" for text in texts], add_special_tokens=False)["input_ids"]
        return Batch(features, n_frames, ids, texts, groups)


class ClipPitch:
    """Pitch of the clips of batches at the encoder's frames, computed once, from the clean sound."""

    def __init__(self, speech: Speech) -> None:
        self.speech = speech
        self._known: dict[int, torch.Tensor] = {}

    def __call__(self, batch: Batch) -> Tensor:
        """(batch, encoder frames) in Hz, 0 where unvoiced, -1 on padding."""
        f0_hz = torch.full((len(batch.clips), encoder_frames(batch.features.shape[1])), -1.0)
        for row, frames, clips in zip(f0_hz, batch.n_frames.tolist(), batch.clips, strict=True):
            # Clips in a row lose or gain a frame where they meet: too little to matter beside a vowel.
            known = torch.cat([self._of(clip) for clip in clips])[: encoder_frames(frames)]
            row[: len(known)] = known
        return f0_hz

    def _of(self, clip: int) -> Tensor:
        if clip not in self._known:
            samples, tower = self.speech.samples(clip), self.speech.tower
            count = encoder_frames(self.speech.features.frame_count(len(samples)))
            # The convolutions centre encoder frame i on mel frame 2 i.
            centres_s = np.arange(count) * 2 * tower.hop_samples / tower.sampling_rate_hz
            self._known[clip] = torch.from_numpy(pitch_hz(samples, tower.sampling_rate_hz, centres_s))
        return self._known[clip]


class AugmentedBatches:
    """Endless training batches: joined, augmented and masked."""

    def __init__(
        self, speech: Speech, indices: list[int], settings: Settings, generator: torch.Generator
    ) -> None:
        self.speech, self.settings, self.generator = speech, settings, generator
        self.rng = np.random.default_rng(int(torch.randint(2**31, (), generator=generator)))
        self.indices = indices
        rate = speech.tower.sampling_rate_hz
        lengths = [speech.clips[i][1].samples for i in indices]
        self.batches = LengthBatches(lengths, int(settings.batch_seconds * rate)).endless(generator)

    def __iter__(self) -> Iterator[Batch]:
        for chosen in self.batches:
            groups = self._joined([self.indices[i] for i in chosen])
            audio = [self._taken(np.concatenate([self.speech.samples(i) for i in group])) for group in groups]
            batch = self.speech.batch(audio, groups)
            self._mask(batch)
            yield batch

    def _taken(self, samples: np.ndarray) -> np.ndarray:
        """The samples as some microphone takes them, or as they are."""
        if self.rng.random() < self.settings.clean_part:
            return samples
        return augment(samples, self.rng).astype(np.float32)

    def _joined(self, indices: list[int]) -> list[list[int]]:
        """Sometimes the whole batch is pairs or triples, so that padding stays small."""
        if self.rng.random() >= self.settings.joined_part:
            return [[i] for i in indices]
        size = int(self.rng.integers(2, 4))
        return [indices[i : i + size] for i in range(0, len(indices), size)]

    def _mask(self, batch: Batch) -> None:
        settings = self.settings
        for item, frames in zip(batch.features, batch.n_frames.tolist(), strict=True):
            fill = float(item[:frames].mean())
            for _ in range(settings.masks):
                width = int(self.rng.integers(0, min(settings.mask_frames, frames // 8) + 1))
                start = int(self.rng.integers(0, frames - width + 1))
                item[start : start + width] = fill
                bins = int(self.rng.integers(0, settings.mask_bins + 1))
                first = int(self.rng.integers(0, item.shape[1] - bins + 1))
                item[:frames, first : first + bins] = fill


def evaluate(
    model: Recogniser, speech: Speech, clip_pitch: ClipPitch, groups: dict[str, list[int]]
) -> dict[str, float]:
    """Greedy word error rates of groups of clips, by the decoder and by CTC, and the error of the pitch."""
    result, device = {}, model.ctc.weight.device
    for name, indices in groups.items():
        hypotheses, by_ctc, texts, pitch = [], [], [], []
        for start in range(0, len(indices), 12):
            chosen = indices[start : start + 12]
            batch = speech.batch([speech.samples(i) for i in chosen], [[i] for i in chosen]).to(device)
            hypotheses += speech.tokenizer.batch_decode(model.greedy(batch.features, batch.n_frames))
            encoded = model.encode(batch.features, batch.n_frames)
            by_ctc += speech.tokenizer.batch_decode(model.ctc_greedy(encoded))
            pitch.append(float(model.pitch_loss(encoded, clip_pitch(batch).to(device))))
            texts += batch.texts
        result[f"wer_{name}"] = word_error_rate(texts, hypotheses)
        result[f"ctc_wer_{name}"] = word_error_rate(texts, by_ctc)
        result[f"pitch_{name}"] = float(np.mean(pitch))
    return result


def run(settings: Settings, context: StageContext) -> None:
    """Train; writes `recogniser.safetensors` (parameter names of `Recogniser`)."""
    folder, tower = context.folder("tower"), context.config.tower
    if tower is None:
        raise ValueError("the recipe's model has no section 'tower'; add one with the sizes of the encoder")
    stores = [AudioStore(context.folder("corpus") / name) for name in settings.stores]
    speech = Speech([store for store in stores if len(store)], tower, context.folder("tokenizers") / "asr")
    loop = TrainingLoop("tower", folder, recogniser(context, settings.dropout), settings.loop)
    output = folder / "recogniser.safetensors"
    resumed = loop.resume()
    if resumed and loop.finished and output.exists():
        return
    valid = speech.of_split("valid")
    groups = {
        store.folder.name: [i for i in valid if speech.clips[i][0] is store][: settings.evaluated_clips]
        for store in speech.stores
    }
    clip_pitch = ClipPitch(speech)
    batches = iter(AugmentedBatches(speech, speech.of_split("train"), settings, loop.generator))
    logger.info("tower: %d clips to train on", len(speech.of_split("train")))

    def compute_losses(_step: int, _generator: torch.Generator) -> Losses:
        batch = next(batches).to(loop.device)
        losses = loop.accelerator.unwrap_model(loop.module).losses(
            batch.features,
            batch.n_frames,
            batch.token_ids,
            settings.ctc_weight,
            settings.label_smoothing,
            clip_pitch(batch).to(loop.device),
        )
        return losses | {"pitch": settings.pitch_weight * losses["pitch"]}

    model = loop.accelerator.unwrap_model(loop.module)

    def write() -> None:
        # What is made of the encoder would have to be made anew: later stages wait for the end.
        if loop.finished:
            save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, output)

    loop.run(compute_losses, lambda: evaluate(model, speech, clip_pitch, groups), write)


def recogniser(context: StageContext, dropout: float = 0.0) -> Recogniser:
    """An untrained recogniser that tells the pitch from the layer that the aggregator takes its values of."""
    joint = context.config.audio_tower_config.kwargs_for_joint_encoder_segmenter
    assert context.config.tower is not None
    return Recogniser(context.config.tower, dropout, joint.target_hidden_layer)


def trained_recogniser(context: StageContext) -> Recogniser | None:
    """The recogniser in evaluation mode; None while its training has not finished."""
    weights = context.folder("tower") / "recogniser.safetensors"
    if context.config.tower is None or not weights.exists():
        return None
    model = recogniser(context)
    model.load_state_dict(load_file(weights))
    return model.eval()
