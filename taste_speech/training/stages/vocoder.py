"""Stage `vocoder`: HiFT on the reply voice, first by spectral losses alone, then with a discriminator."""

import logging

import torch
from accelerate.utils import send_to_device
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from taste_speech.configuration_base import StrictSection
from taste_speech.training.config import StageContext
from taste_speech.training.loop import LoopSettings, Losses, TrainingLoop
from taste_speech.training.voice import (
    Discriminator,
    VoiceFeatures,
    multi_resolution_stft_loss,
    prepared_features,
)
from taste_speech.vocoder.hift import HiFT
from taste_speech.vocoder.mel import log_mel

logger = logging.getLogger(__name__)


class Settings(StrictSection):
    """Of the vocoder's training."""

    stores: list[str] = ["reply"]
    batch_size: int = 8
    segment_frames: int = 32
    mel_weight: float = 2.0
    f0_weight: float = 0.5
    adversarial_from: float = 0.6
    """Fraction of the budget after which the discriminator joins."""
    adversarial_weight: float = 0.1
    matching_weight: float = 1.0
    discriminator_channels: int = 16
    discriminator_rate: float = 2e-4
    loop: LoopSettings = LoopSettings()


class SegmentSampler:
    """Random segments of the training utterances."""

    def __init__(self, features: list[VoiceFeatures], settings: Settings, *splits: str) -> None:
        self.settings = settings
        self.items = [
            item
            for part in features
            for key in part.keys(*splits)
            if len((item := part[key]).mel) > settings.segment_frames + 1
        ]
        self.hop = features[0].config.hop_samples

    def batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Mel (batch, bins, frames), F0 (batch, frames) and audio (batch, samples)."""
        frames, hop = self.settings.segment_frames, self.hop
        mels, pitches, audios = [], [], []
        for index in torch.randint(
            len(self.items), (self.settings.batch_size,), generator=generator
        ).tolist():
            item = self.items[index]
            last = min(len(item.mel), len(item.audio) // hop) - frames
            start = int(torch.randint(max(1, last), (1,), generator=generator))
            mels.append(torch.from_numpy(item.mel[start : start + frames].astype("float32")).T)
            pitches.append(torch.from_numpy(item.f0[start : start + frames].astype("float32")))
            samples = item.audio[start * hop : (start + frames) * hop].astype("float32")
            audios.append(torch.from_numpy(samples) / 32768)
        return torch.stack(mels), torch.stack(pitches), torch.stack(audios)


class VocoderTrainer:
    """Losses of one step; owns the discriminator and its optimizer.

    Args:
        hift: on `device`.
        sampler: draws on the CPU.
        device: of all that is computed.
    """

    def __init__(
        self,
        hift: HiFT,
        sampler: SegmentSampler,
        settings: Settings,
        context: StageContext,
        device: torch.device,
    ) -> None:
        self.hift, self.sampler, self.settings, self.device = hift, sampler, settings, device
        self.config = context.config.voice_generator
        self.discriminator = Discriminator(channels=settings.discriminator_channels).to(device)
        self.optimizer = torch.optim.AdamW(
            self.discriminator.parameters(), lr=settings.discriminator_rate, betas=(0.8, 0.99)
        )
        self.progress = lambda: 0.0

    def losses(self, _step: int, generator: torch.Generator) -> Losses:
        """Losses of a fresh batch."""
        mel, f0, audio = send_to_device(self.sampler.batch(generator), self.device)
        produced = self.hift(mel, f0=f0)
        with torch.autocast(audio.device.type, enabled=False):
            produced = produced.float().reshape(audio.shape)
            losses = self._spectral(produced, audio, mel)
            losses["f0"] = self.settings.f0_weight * self._pitch_loss(mel, f0)
            if self.progress() >= self.settings.adversarial_from:
                losses |= self._adversarial(produced, audio)
        return losses

    def _spectral(self, produced: Tensor, audio: Tensor, mel: Tensor) -> Losses:
        wanted = log_mel(audio, self.config)
        mel_loss = F.l1_loss(log_mel(produced, self.config), wanted)
        return {
            "mel": self.settings.mel_weight * mel_loss,
            "stft": multi_resolution_stft_loss(produced, audio),
        }

    def _pitch_loss(self, mel: Tensor, f0: Tensor) -> Tensor:
        predicted = self.hift.f0_predictor(mel).float()
        return F.l1_loss((predicted / 50 + 1).log(), (f0 / 50 + 1).log())

    def _adversarial(self, produced: Tensor, audio: Tensor) -> Losses:
        own = self.discriminator.own_loss(audio, produced)
        self.optimizer.zero_grad(set_to_none=True)
        own.backward()
        self.optimizer.step()
        adversarial, matching = self.discriminator.generator_losses(audio, produced)
        return {
            "adversarial": self.settings.adversarial_weight * adversarial,
            "matching": self.settings.matching_weight * matching,
        }


def run(settings: Settings, context: StageContext) -> None:
    """Train, and write `hift.safetensors` (published names without the prefix `hift.`)."""
    folder, config = context.folder("vocoder"), context.config.voice_generator
    features = prepared_features(context, settings.stores)
    torch.manual_seed(settings.loop.seed)
    hift = HiFT(config)
    loop = TrainingLoop("vocoder", folder, hift, settings.loop)
    trainer, valid = (
        VocoderTrainer(loop.module, SegmentSampler(features, settings, split), settings, context, loop.device)
        for split in ("train", "valid")
    )
    loop.extra = {
        "discriminator": trainer.discriminator,
        "discriminator_optimizer": trainer.optimizer,
    }
    loop.resume()
    trainer.progress = loop.progress

    def evaluate() -> dict[str, float]:
        generator = torch.Generator().manual_seed(1)
        rounds = [valid.losses(0, generator) for _ in range(4)]
        return {name: float(torch.stack([r[name] for r in rounds]).mean()) for name in rounds[0]}

    def write() -> None:
        weights = {name: value.contiguous() for name, value in hift.state_dict().items()}
        save_file(weights, folder / "hift.safetensors")

    loop.run(trainer.losses, evaluate, write)
