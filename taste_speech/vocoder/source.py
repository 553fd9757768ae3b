"""Harmonic source signal of the vocoder: sines at the multiples of F0, and noise where there is no voice.

Nakatani et al. / Wang et al. 2019 (neural source-filter models); the phase is exact for F0 that is
constant within a frame, so that a signal made in pieces equals the one made at once.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from taste_speech.vocoder.configuration import VoiceGeneratorConfig


@dataclass(frozen=True)
class SourceRandomness:
    """What a source signal draws at random; zeros give the deterministic signal.

    Attributes:
        phase: (batch, harmonics + 1) radians, the start phase of each sine. Sine 0 (the fundamental)
            starts at 0 in the published model.
        noise: (batch, samples, harmonics + 1), standard normal.
    """

    phase: Tensor
    noise: Tensor


class HarmonicSource(nn.Module):
    """Sum of sines (with trained weights) that excites the vocoder."""

    def __init__(self, config: VoiceGeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.num_sines = config.hift.num_harmonics + 1
        self.l_linear = nn.Linear(self.num_sines, 1)

    def draw(self, f0: Tensor, generator: torch.Generator | None = None) -> SourceRandomness:
        """Draw random phases and noise for `f0` (batch, frames); drawn on the generator's device."""
        device = generator.device if generator is not None else f0.device
        batch, frames = f0.shape
        phase = torch.rand((batch, self.num_sines), generator=generator, device=device) * 2 - 1
        phase[:, 0] = 0
        shape = (batch, frames * self.config.hop_samples, self.num_sines)
        noise = torch.randn(shape, generator=generator, device=device)
        return SourceRandomness((phase * math.pi).to(f0), noise.to(f0))

    def silent_randomness(self, f0: Tensor) -> SourceRandomness:
        """Return zeros in place of all draws, for reproducible output."""
        batch, frames = f0.shape
        noise = f0.new_zeros((batch, frames * self.config.hop_samples, self.num_sines))
        return SourceRandomness(f0.new_zeros((batch, self.num_sines)), noise)

    def cycles(self, f0: Tensor, start: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the cycles of the fundamental at each sample, and (batch, 1) the fraction after the last.

        The sum runs over frames, each reduced to its fraction, then inside the frame: the values stay
        small, so float32 is exact enough for replies of any length.
        """
        hop = self.config.hop_samples
        per_sample = f0.float() / self.config.sampling_rate_hz  # (batch, frames)
        ends = torch.cumsum(torch.frac(per_sample * hop), dim=1)
        if start is not None:
            ends = ends + start
        begins = torch.cat([ends.new_zeros(len(ends), 1) if start is None else start, ends[:, :-1]], dim=1)
        steps = torch.arange(1, hop + 1, device=f0.device, dtype=per_sample.dtype)
        inside = torch.frac(begins)[:, :, None] + per_sample[:, :, None] * steps
        return inside.flatten(1), torch.frac(ends[:, -1:])

    def forward(self, f0: Tensor, randomness: SourceRandomness, start: Tensor | None = None) -> Tensor:
        """Return the source signal.

        Args:
            f0: (batch, frames), Hz.
            randomness: phases and noise (`draw`, `silent_randomness`).
            start: (batch, 1) cycles of the fundamental before the first sample (second result of
                `cycles` for the frames before); None starts at 0.

        Returns:
            (batch, 1, frames * hop_samples) in [-1, 1].
        """
        hift = self.config.hift
        cycles, _ = self.cycles(f0, start)
        harmonics = torch.arange(1, self.num_sines + 1, device=f0.device, dtype=cycles.dtype)
        angles = 2 * math.pi * torch.frac(cycles[:, :, None] * harmonics) + randomness.phase[:, None].float()
        voiced = (f0 > hift.voiced_threshold_hz).to(f0).repeat_interleave(self.config.hop_samples, dim=1)
        voiced = voiced[:, :, None]
        noise_scale = hift.noise_std * voiced + hift.sine_amplitude / 3 * (1 - voiced)
        sines = hift.sine_amplitude * torch.sin(angles).to(f0) * voiced + noise_scale * randomness.noise
        return torch.tanh(self.l_linear(sines)).transpose(1, 2)


class SourceVocoder(nn.Module):
    """What vocoders share that shape a source at F0: `forward` is the whole way, its parts are theirs."""

    f0_predictor: nn.Module
    m_source: HarmonicSource

    def decode(self, mel: Tensor, source: Tensor) -> Tensor:
        """(batch, bins, frames) and (batch, channels, samples) of the source -> waveform (batch, samples)."""
        raise NotImplementedError

    def forward(
        self,
        mel: Tensor,
        f0: Tensor | None = None,
        randomness: SourceRandomness | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return the waveform of mel frames; differentiable.

        Args:
            mel: (batch, bins, frames).
            f0: (batch, frames) Hz, to drive the source; None predicts it from `mel`.
            randomness: phases and noise of the source; None draws them with `generator`.
            generator: random generator; None uses torch's global one.

        Returns:
            (batch, frames * hop_samples), within +-audio_limit.
        """
        if f0 is None:
            f0 = self.f0_predictor(mel)
        if randomness is None:
            randomness = self.m_source.draw(f0, generator)
        return self.decode(mel, self.m_source(f0, randomness))
