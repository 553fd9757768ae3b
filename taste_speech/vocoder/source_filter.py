"""Source-filter vocoder: mel frames -> waveform, by two filters over a pulse train and over noise.

A small network reads from each mel frame how loud the harmonics and the noise are at every frequency; the
rest is signal processing (compare Engel et al., 2020, DDSP, and Wang et al., 2019, NSF). Unlike HiFT it needs
no adversary to learn and next to no time to speak, for all of its convolutions run at the mel rate.
"""

import math

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
        cycles, _ = self.cycles(f0, start)
        angle = 2 * math.pi * torch.frac(cycles)
        per_sample = f0.float().repeat_interleave(hop, dim=1)
        voiced = per_sample > config.hift.voiced_threshold_hz
        count = torch.floor(0.5 * config.sampling_rate_hz / per_sample.clamp(min=_LOWEST_F0_HZ))
        sine = torch.sin(angle / 2)
        near = sine.abs() < _SMALLEST_SINE
        kernel = torch.sin((count + 0.5) * angle) / (2 * sine.masked_fill(near, 1.0))
        pulses = torch.where(near, count, kernel - 0.5) * voiced
        return torch.stack([pulses.to(f0), randomness.noise[..., 0].to(f0)], dim=1)


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
        self.config, self.n_fft, self.bins = config, sizes.n_fft, sizes.n_fft // 2 + 1
        self.f0_predictor = F0Predictor(config)
        self.m_source = PulseSource(config)
        self.embed = nn.Conv1d(config.mel_bins, sizes.channels, 5, padding=2)
        self.blocks = nn.ModuleList(
            FrameBlock(sizes.channels, sizes.kernel_size, dilation) for dilation in sizes.dilations
        )
        # A transform is centered where two mel frames meet.
        self.spectra = nn.Conv1d(sizes.channels, 2 * self.bins, 2, padding=1)
        self.register_buffer("window", torch.hann_window(sizes.n_fft), persistent=False)

    def fold_weight_norm(self) -> None:
        """Fold those of the F0 predictor; there are no others."""
        fold_weight_norm(self.f0_predictor)

    def filters(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Log magnitudes of the harmonics and of the noise, each (batch, n_fft // 2 + 1, frames + 1).

        They are those of a short-time transform with a Hann window: a cosine of amplitude 1 has n_fft / 4.
        """
        sizes = self.config.source_filter
        assert sizes is not None
        x = self.embed((mel - sizes.mel_mean) / sizes.mel_std)
        for block in self.blocks:
            x = block(x)
        harmonic, noise = (self.spectra(F.silu(x)).float() + sizes.log_magnitude_mean).chunk(2, dim=1)
        return harmonic, noise

    def decode(self, mel: Tensor, source: Tensor) -> Tensor:
        """(batch, bins, frames) and (batch, 2, frames * hop) -> waveform (batch, frames * hop)."""
        with torch.autocast(source.device.type, enabled=False):
            harmonic, noise = self.filters(mel)
            wave = self.filtered(harmonic.float(), noise.float(), source.float())
        limit = self.config.hift.audio_limit
        return wave.clamp(-limit, limit).to(mel.dtype)

    def filtered(self, harmonic: Tensor, noise: Tensor, source: Tensor) -> Tensor:
        """Shape pulses and noise (batch, 2, samples), by what `filters` returns, to (batch, samples)."""
        spectrum = self._transform(source)
        pulses, random = spectrum[:, 0], spectrum[:, 1]
        # Noise of even magnitude: bins that flicker sound rough.
        phases = random / (random.abs() + _MAGNITUDE_EPS)
        loud, soft = (part.clamp(*_LOG_MAGNITUDES).exp() for part in (harmonic, noise))
        mixed = loud * pulses / (self.n_fft / 4) + soft * phases
        hop, window = self.config.hop_samples, self.window.float()
        return torch.istft(mixed, self.n_fft, hop, window=window, length=source.shape[-1])

    def _transform(self, signal: Tensor) -> Tensor:
        """(batch, channels, samples) -> complex (batch, channels, bins, samples // hop + 1)."""
        flat = signal.flatten(0, 1)
        window, hop = self.window.float(), self.config.hop_samples
        mode = "reflect" if signal.shape[-1] > self.n_fft // 2 else "constant"
        spectrum = torch.stft(flat, self.n_fft, hop, window=window, pad_mode=mode, return_complex=True)
        return spectrum.unflatten(0, signal.shape[:2])
