"""Stage `vocoder`: the source-filter vocoder learns the spectra of the reply voice, and to sound like it."""

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from accelerate.utils import send_to_device
from pydantic import Field
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from taste_speech.configuration_base import StrictSection
from taste_speech.training.config import StageContext
from taste_speech.training.corpus.audio_store import AudioStore
from taste_speech.training.corpus.reply_voice import ReplyVoice, random_manner
from taste_speech.training.corpus.voice_features import stored_voice
from taste_speech.training.loop import LoopSettings, Losses, TrainingLoop, take_what_fits
from taste_speech.vocoder.source_filter import SourceFilter, Spectra, direction
from taste_speech.vocoder.spectra import log_mel

logger = logging.getLogger(__name__)
_RIDGE = 1e-4
_INAUDIBLE = -9.0
"""Log magnitude below which a difference does not count."""


class Settings(StrictSection):
    """Of the vocoder's training."""

    stores: list[str] = ["wordnet"]
    """Whose texts are spoken."""
    clips: int = Field(default=600, ge=2)
    """Utterances whose spectra are learned from; an eleventh of them are valid ones."""
    batch_size: int = 8
    segment_frames: int = 64
    filter_weight: float = 1.0
    mel_weight: float = 1.0
    phase_weight: float = 1.0
    f0_weight: float = 1.0
    mel_noise: float = 0.25
    """Largest deviation of the noise on mel frames, for those of a flow are not quite right."""
    loop: LoopSettings = LoopSettings()


@dataclass(frozen=True)
class FilteredClip:
    """Mel (frames, bins), F0 (frames,), audio (samples,) and the voice's spectra (frames, 5, frequencies)."""

    mel: np.ndarray
    f0: np.ndarray
    audio: np.ndarray
    spectra: np.ndarray


def filtered_clips(
    context: StageContext, stores: list[AudioStore], settings: Settings, split: str, count: int
) -> list[FilteredClip]:
    """Speak texts of a split anew, in random manners, and keep the spectra that made the sound."""
    voice, config = ReplyVoice(context.folder("corpus")), context.config.voice_generator
    clips = [clip for store in stores for clip in store.of_split(split)]
    rng = random.Random(settings.loop.seed)
    rng.shuffle(clips)
    found: list[FilteredClip] = []
    for clip in clips:
        manner = random_manner(clip.text, rng)
        spoken = voice.speak(clip.text, manner, rng.randrange(2**31))
        spectra = voice.spectra(clip.text, manner).astype(np.float16)
        audio = torch.from_numpy(spoken.samples.astype(np.float32) / 32768)
        mel = log_mel(audio[None], config)[0].T.numpy()
        if settings.segment_frames + 1 < len(mel) == len(spectra) == len(spoken.f0_hz):
            found.append(FilteredClip(mel, spoken.f0_hz, spoken.samples, spectra))
        if len(found) == count:
            break
    return found


class SegmentSampler:
    """Random segments of utterances."""

    def __init__(self, clips: list[FilteredClip], settings: Settings, hop: int) -> None:
        self.clips, self.settings, self.hop = clips, settings, hop

    def batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return each of `FilteredClip` as a batch, with the frames last."""
        frames, hop = self.settings.segment_frames, self.hop
        rows: list[tuple[Tensor, ...]] = []
        for index in torch.randint(len(self.clips), (self.settings.batch_size,), generator=generator):
            clip = self.clips[int(index)]
            start = int(torch.randint(len(clip.mel) - frames, (1,), generator=generator))
            cut = slice(start, start + frames)
            audio = clip.audio[start * hop : (start + frames) * hop].astype(np.float32) / 32768
            parts = (clip.mel[cut].T, clip.f0[cut], audio, clip.spectra[cut].transpose(1, 2, 0))
            rows.append(tuple(torch.from_numpy(part.astype(np.float32)) for part in parts))
        mel, f0, wave, spectra = (torch.stack(part) for part in zip(*rows, strict=True))
        return mel, f0, wave, spectra


def stft_magnitude(audio: Tensor, n_fft: int, hop: int) -> Tensor:
    """Return the magnitudes (batch, bins, frames) of audio (batch, samples).

    The root keeps a small constant below it: the gradient of a magnitude at zero is not a number.
    """
    window = torch.hann_window(n_fft, device=audio.device)
    spectrum = torch.stft(audio, n_fft, hop, window=window, return_complex=True)
    return torch.sqrt(spectrum.real**2 + spectrum.imag**2 + 1e-7)


def multi_resolution_stft_loss(
    produced: Tensor, target: Tensor, n_ffts: tuple[int, ...] = (512, 1024, 256)
) -> Tensor:
    """Return spectral convergence plus log-magnitude L1 of (batch, samples), averaged over resolutions."""
    losses = []
    for n_fft in n_ffts:
        a, b = (stft_magnitude(x, n_fft, n_fft // 4) for x in (produced, target))
        convergence = torch.linalg.norm(a - b) / torch.linalg.norm(b).clamp(min=1e-4)
        losses.append(convergence + F.l1_loss(a.log(), b.log()))
    return torch.stack(losses).mean()


def noisy(mel: Tensor, most: float, generator: torch.Generator) -> Tensor:
    """Return mel frames (batch, bins, frames) with noise of up to this deviation, another for each item."""
    level = most * torch.rand((len(mel), 1, 1), generator=generator).to(mel)
    return mel + level * torch.randn(mel.shape, generator=generator).to(mel)


@torch.no_grad()
def solve_spectra(vocoder: SourceFilter, clips: Sequence[FilteredClip], mel_noise: float) -> None:
    """Set the last layer to the least squares of the voice's spectra, given what the layers before find."""
    layer, bins, channels = vocoder.spectra, vocoder.bins, vocoder.spectra.in_channels
    generator, size = torch.Generator().manual_seed(0), 2 * channels + 1
    # The parts of the harmonics are learned from the voiced frames only.
    of_pulses = torch.tensor([True, False, False, True, True, False, False]).repeat_interleave(bins)
    squares, products = torch.zeros(2, size, size), torch.zeros(size, len(of_pulses))
    for clip in clips:
        mel = noisy(torch.from_numpy(clip.mel.T.astype(np.float32))[None], mel_noise, generator)
        hidden = F.pad(vocoder.hidden(mel.to(layer.weight.device))[0].cpu(), (1, 1)).T
        known = torch.cat([hidden[:-2], hidden[1:-1], torch.ones_like(hidden[1:-1, :1])], dim=1)
        magnitudes, angles = torch.from_numpy(clip.spectra.astype(np.float32)).split([3, 2], dim=1)
        circles = torch.stack([angles.cos(), angles.sin()], dim=2)
        wanted = torch.cat([magnitudes.clamp(min=_INAUDIBLE).flatten(1), circles.flatten(1)], dim=1)
        voiced = known * torch.from_numpy(clip.f0 > 0)[:, None]
        squares += torch.stack([known.T @ known, voiced.T @ voiced])
        products += torch.where(of_pulses, voiced.T @ wanted, known.T @ wanted)
    squares = squares + _RIDGE * squares.diagonal(dim1=1, dim2=2).mean(1)[:, None, None] * torch.eye(size)
    every, pulses = torch.linalg.solve(squares.double(), products.double())
    weights = torch.where(of_pulses, pulses, every).to(layer.weight)
    assert layer.bias is not None
    layer.weight.copy_(weights[:-1].unflatten(0, (2, channels)).permute(2, 1, 0))
    layer.bias.copy_(weights[-1])
    layer.bias[: 3 * bins] -= vocoder.sizes.log_magnitude_mean


class VocoderTrainer:
    """Losses of one step.

    Args:
        vocoder: on `device`.
        sampler: draws on the CPU.
        device: of all that is computed.
    """

    def __init__(
        self,
        vocoder: SourceFilter,
        sampler: SegmentSampler,
        settings: Settings,
        context: StageContext,
        device: torch.device,
    ) -> None:
        self.vocoder, self.sampler, self.settings, self.device = vocoder, sampler, settings, device
        self.config = context.config.voice_generator

    def losses(self, _step: int, generator: torch.Generator) -> Losses:
        """Return the losses of a new batch."""
        settings = self.settings
        mel, f0, audio, wanted = send_to_device(self.sampler.batch(generator), self.device)
        heard = noisy(mel, settings.mel_noise, generator)
        source = self.vocoder.m_source(f0, self.vocoder.m_source.draw(f0, generator))
        spectra = self.vocoder.filters(heard)
        with torch.autocast(audio.device.type, enabled=False):
            produced = self.vocoder.filtered(spectra, source)
            mel_loss = F.l1_loss(log_mel(produced, self.config), log_mel(audio, self.config))
            found = {
                "mel": settings.mel_weight * mel_loss,
                "stft": multi_resolution_stft_loss(produced, audio),
                "f0": settings.f0_weight * self._pitch_loss(heard, f0),
            }
            return found | self._spectral_losses(spectra, wanted, f0 > 0)

    def _spectral_losses(self, spectra: Spectra, wanted: Tensor, voiced: Tensor) -> Losses:
        """Return the mean distances of log magnitudes and of phases; of the harmonics where there are any."""
        frames, settings = wanted.shape[-1], self.settings
        magnitudes = torch.stack([spectra.harmonic, spectra.noise, spectra.free], 1)[..., :frames]
        rotations = torch.stack([spectra.harmonic_rotation, spectra.free_rotation], 1)[..., :frames]
        angles = wanted[:, 3:]
        there = torch.ones_like(wanted[:, :3, :1])
        there[:, 0] = voiced[:, None]
        audible = wanted[:, :3].clamp(min=_INAUDIBLE)
        far = ((magnitudes.clamp(min=_INAUDIBLE) - audible).abs() * there).mean((0, 2, 3)).sum()
        off = 1 - (direction(rotations) * torch.polar(torch.ones_like(angles), -angles)).real
        heard = there[:, ::2] * (audible[:, ::2] > _INAUDIBLE)
        return {
            "filters": settings.filter_weight * far,
            "phases": settings.phase_weight * (off * heard).mean((0, 2, 3)).sum(),
        }

    def _pitch_loss(self, mel: Tensor, f0: Tensor) -> Tensor:
        predicted = self.vocoder.f0_predictor(mel).float()
        return F.l1_loss((predicted / 50 + 1).log(), (f0 / 50 + 1).log())


def run(settings: Settings, context: StageContext) -> None:
    """Train, and write `hift.safetensors` (published names without the prefix `hift.`)."""
    folder, config = context.folder("vocoder"), context.config.voice_generator
    torch.manual_seed(settings.loop.seed)
    vocoder = SourceFilter(config)
    stored = {} if context.start is None else stored_voice(context.start, "hift")
    unknown = take_what_fits(vocoder, stored)
    loop = TrainingLoop("vocoder", folder, vocoder, settings.loop)
    resumed = loop.resume()
    if loop.finished:
        return
    stores = [AudioStore(context.folder("corpus") / name) for name in settings.stores]

    def trainer(split: str, count: int) -> VocoderTrainer:
        clips = filtered_clips(context, stores, settings, split, count)
        sampler = SegmentSampler(clips, settings, config.hop_samples)
        return VocoderTrainer(loop.module, sampler, settings, context, loop.device)

    train, valid = trainer("train", settings.clips), trainer("valid", max(1, settings.clips // 10))
    if "spectra.weight" in unknown and not resumed:
        solve_spectra(vocoder, train.sampler.clips, settings.mel_noise)

    def evaluate() -> dict[str, float]:
        generator = torch.Generator().manual_seed(1)
        rounds = [valid.losses(0, generator) for _ in range(4)]
        return {name: float(torch.stack([r[name] for r in rounds]).mean()) for name in rounds[0]}

    def write() -> None:
        weights = {name: value.contiguous() for name, value in vocoder.state_dict().items()}
        save_file(weights, folder / "hift.safetensors")

    loop.run(train.losses, evaluate, write)
