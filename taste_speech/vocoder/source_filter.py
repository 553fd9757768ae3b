"""Source-filter vocoder: mel frames -> waveform, by filters over a pulse train and over noise.

A small network reads from each mel frame how loud the harmonics and the noise are at every frequency, their
phases, and a part of the spectrum that depends on neither; the rest is signal processing (compare Engel et
al., 2020, DDSP, and Wang et al., 2019, NSF). Unlike HiFT it needs no adversary to learn and next to no time
to speak, for all of its convolutions run at the mel rate.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from taste_speech.vocoder.configuration import VoiceGeneratorConfig
from taste_speech.vocoder.hift import F0Predictor
from taste_speech.vocoder.source import HarmonicSource, SourceRandomness, SourceVocoder
from taste_speech.vocoder.weight_norm import fold_weight_norm

_SMALLEST_SINE = 1e-3
_LOWEST_F0_HZ = 40.0
_LOG_MAGNITUDES = (-12.0, 7.0)
_MAGNITUDE_EPS = 1e-9


@dataclass(frozen=True)
class Spectra:
    """What shapes the sound, each (batch, n_fft // 2 + 1, frames + 1).

    Magnitudes are natural logarithms, as a short-time transform with a Hann window has them: a cosine of
    amplitude 1 has n_fft / 4. Rotations are complex numbers.

    Attributes:
        harmonic: of the pulses.
        noise: of the noise.
        free: of the free part, which depends on neither.
        harmonic_rotation: what the pulses' phases are turned by; its length does not count.
        free_rotation: phases of the free part, counted from where a transform begins. The shorter the
            number, the less certain the phase, and the more of it is noise.
    """

    harmonic: Tensor
    noise: Tensor
    free: Tensor
    harmonic_rotation: Tensor
    free_rotation: Tensor


class PulseSource(HarmonicSource):
    """Pulse train at F0 in one channel and white noise in the other.

    A pulse is the sum of all harmonics below half of the sampling rate, each of amplitude 1:
    sum_{h=1..H} cos(h t) = sin((H + 1/2) t) / (2 sin(t / 2)) - 1/2 (the Dirichlet kernel).
    """

    def __init__(self, config: VoiceGeneratorConfig) -> None:
        nn.Module.__init__(self)
        self.config = config
        self.num_sines = 1

    def forward(self, f0: Tensor, randomness: SourceRandomness, start: Tensor | None = None) -> Tensor:
        """(batch, frames) Hz -> (batch, 2, frames * hop_samples); arguments as `HarmonicSource`."""
        config, hop = self.config, self.config.hop_samples
        angle = 2 * math.pi * torch.frac(self.cycles(f0, start)[0] + self._glide(f0))
        per_sample = f0.float().repeat_interleave(hop, dim=1)
        voiced = per_sample > config.hift.voiced_threshold_hz
        count = torch.floor(0.5 * config.sampling_rate_hz / per_sample.clamp(min=_LOWEST_F0_HZ))
        sine = torch.sin(angle / 2)
        near = sine.abs() < _SMALLEST_SINE
        kernel = torch.sin((count + 0.5) * angle) / (2 * sine.masked_fill(near, 1.0))
        pulses = torch.where(near, count, kernel - 0.5) * voiced
        return torch.stack([pulses.to(f0), randomness.noise[..., 0].to(f0)], dim=1)

    def _glide(self, f0: Tensor) -> Tensor:
        """Return what is added to `cycles` so that F0 is linear from the middle of a frame to the next.

        It is zero in the middles, so that the sums stay, and where one of the two frames is unvoiced.
        """
        f0, hop = f0.float(), self.config.hop_samples
        voiced = f0 > self.config.hift.voiced_threshold_hz
        change = torch.diff(f0) * (voiced[:, 1:] & voiced[:, :-1]) * hop / self.config.sampling_rate_hz
        before, after = (F.pad(change, sides)[:, :, None] for sides in ((1, 0), (0, 1)))
        place = torch.arange(1, hop + 1, device=f0.device) / hop - 0.5
        return (torch.where(place < 0, before, after) * place.square() / 2).flatten(1)


class FrameBlock(nn.Module):
    """Residual dilated convolution over frames."""

    def __init__(self, channels: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.conv = nn.Conv1d(channels, channels, kernel, dilation=dilation, padding=kernel // 2 * dilation)
        self.mix = nn.Conv1d(channels, channels, 1)
        nn.init.normal_(self.mix.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, frames) -> the same shape."""
        normed = self.norm(x.transpose(1, 2)).transpose(1, 2)
        return x + self.mix(F.silu(self.conv(normed)))


class SourceFilter(SourceVocoder):
    """The vocoder, in the parts of `HiFT` (`f0_predictor`, `m_source`, `decode`); `forward` is all of it."""

    window: Tensor

    def __init__(self, config: VoiceGeneratorConfig) -> None:
        super().__init__()
        sizes = config.source_filter
        if sizes is None or config.hop_samples * 4 > sizes.n_fft:
            raise ValueError(
                f"source_filter.n_fft is {None if sizes is None else sizes.n_fft}; give at least four times "
                f"hop_samples ({config.hop_samples})"
            )
        self.config, self.sizes = config, sizes
        self.n_fft, self.bins = sizes.n_fft, sizes.n_fft // 2 + 1
        self.f0_predictor = F0Predictor(config)
        self.m_source = PulseSource(config)
        self.embed = nn.Conv1d(config.mel_bins, sizes.channels, 5, padding=2)
        self.blocks = nn.ModuleList(
            FrameBlock(sizes.channels, sizes.kernel_size, dilation) for dilation in sizes.dilations
        )
        # A transform is centered where two mel frames meet.
        self.spectra = nn.Conv1d(sizes.channels, 7 * self.bins, 2, padding=1)
        self.register_buffer("window", torch.hann_window(sizes.n_fft), persistent=False)

    def fold_weight_norm(self) -> None:
        """Fold those of the F0 predictor; there are no others."""
        fold_weight_norm(self.f0_predictor)

    def hidden(self, mel: Tensor) -> Tensor:
        """What `spectra` reads of mel frames: (batch, channels, frames)."""
        x = self.embed((mel - self.sizes.mel_mean) / self.sizes.mel_std)
        for block in self.blocks:
            x = block(x)
        return F.silu(x)

    def filters(self, mel: Tensor) -> Spectra:
        """Return what mel frames say about the spectra."""
        parts = self.spectra(self.hidden(mel)).float().unflatten(1, (-1, self.bins))
        magnitudes = (parts[:, :3] + self.sizes.log_magnitude_mean).unbind(1)
        rotations = (torch.complex(parts[:, at], parts[:, at + 1]) for at in (3, 5))
        return Spectra(*magnitudes, *rotations)

    def decode(self, mel: Tensor, source: Tensor) -> Tensor:
        """(batch, bins, frames) and (batch, 2, frames * hop) -> waveform (batch, frames * hop)."""
        with torch.autocast(source.device.type, enabled=False):
            wave = self.filtered(self.filters(mel), source.float())
        limit = self.config.hift.audio_limit
        return wave.clamp(-limit, limit).to(mel.dtype)

    def filtered(self, spectra: Spectra, source: Tensor) -> Tensor:
        """Shape pulses and noise (batch, 2, samples) to (batch, samples)."""
        transformed = self._transform(source)
        # Noise of even magnitude: bins that flicker sound rough.
        noise = direction(transformed[:, 1])
        mixed = _magnitude(spectra.noise) * noise
        turned = transformed[:, 0] / (self.n_fft / 4) * direction(spectra.harmonic_rotation)
        mixed = mixed + _magnitude(spectra.harmonic) * turned
        # Phases that are equal in every frame would hum at the frame rate. Those of the square are random,
        # too, but others than those of the noise.
        certain = spectra.free_rotation.abs().clamp(max=1)
        free_phases = direction(spectra.free_rotation + (1 - certain) * noise.square())
        mixed = mixed + _magnitude(spectra.free) * free_phases
        hop, window = self.config.hop_samples, self.window.float()
        return torch.istft(mixed, self.n_fft, hop, window=window, length=source.shape[-1])

    def _transform(self, signal: Tensor) -> Tensor:
        """(batch, channels, samples) -> complex (batch, channels, bins, samples // hop + 1)."""
        flat = signal.flatten(0, 1)
        window, hop = self.window.float(), self.config.hop_samples
        mode = "reflect" if signal.shape[-1] > self.n_fft // 2 else "constant"
        spectrum = torch.stft(flat, self.n_fft, hop, window=window, pad_mode=mode, return_complex=True)
        return spectrum.unflatten(0, signal.shape[:2])


def _magnitude(logarithm: Tensor) -> Tensor:
    return logarithm.clamp(*_LOG_MAGNITUDES).exp()


def direction(x: Tensor) -> Tensor:
    """Complex numbers of length 1 in the direction of `x`."""
    return x / (x.abs() + _MAGNITUDE_EPS)
