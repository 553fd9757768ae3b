"""Spectra: log-mel frames of recorded speech, and a short-time Fourier transform as fixed convolutions."""

import functools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.functional import melscale_fbanks

from taste_speech.vocoder.configuration import VoiceGeneratorConfig

_POWER_EPS = 1e-9  # keeps the gradient of the magnitude finite at silence
_MIN_MAGNITUDE = 1e-5


@functools.cache
def _filters(n_fft: int, bins: int, rate_hz: int, fmin_hz: float, fmax_hz: float) -> Tensor:
    """(frequencies, bins) triangular filters with Slaney's scale and area normalization."""
    return melscale_fbanks(n_fft // 2 + 1, fmin_hz, fmax_hz, bins, rate_hz, norm="slaney", mel_scale="slaney")


def magnitude_spectrum(audio: Tensor, n_fft: int, hop: int, window_samples: int) -> Tensor:
    """(batch, samples) -> (batch, n_fft // 2 + 1, samples // hop), gradient-safe."""
    padding = n_fft - hop
    padded = F.pad(audio[:, None], (padding // 2, padding - padding // 2), mode="reflect")[:, 0]
    window = torch.hann_window(window_samples, device=audio.device, dtype=audio.dtype)
    spectrum = torch.stft(
        padded, n_fft, hop, window_samples, window, center=False, normalized=False, return_complex=True
    )
    return torch.sqrt(spectrum.real.square() + spectrum.imag.square() + _POWER_EPS)


def log_mel(audio: Tensor, config: VoiceGeneratorConfig) -> Tensor:
    """Return the natural logarithm of the mel magnitudes.

    Args:
        audio: (batch, samples) at `config.sampling_rate_hz`, in [-1, 1].
        config: sampling rate, hop, bins and the `mel` section.

    Returns:
        (batch, bins, samples // hop). Differentiable.
    """
    mel = config.mel
    magnitude = magnitude_spectrum(audio, mel.n_fft, config.hop_samples, mel.window_samples)
    filters = _filters(mel.n_fft, config.mel_bins, config.sampling_rate_hz, mel.fmin_hz, mel.fmax_hz)
    return torch.log((filters.to(audio).T @ magnitude).clamp(min=_MIN_MAGNITUDE))


class ShortTimeTransform(nn.Module):
    """STFT and inverse STFT with `n_fft` samples per frame and `hop` samples between frames."""

    analysis: Tensor
    synthesis: Tensor
    window_power: Tensor

    def __init__(self, n_fft: int, hop: int) -> None:
        super().__init__()
        if n_fft % 2 or hop * 2 > n_fft:
            raise ValueError(
                f"istft_n_fft {n_fft}, istft_hop {hop}: use an even n_fft of at least twice the hop"
            )
        self.n_fft, self.hop, self.bins = n_fft, hop, n_fft // 2 + 1
        samples = torch.arange(n_fft, dtype=torch.float64)
        window = 0.5 - 0.5 * torch.cos(2 * math.pi * samples / n_fft)
        angles = 2 * math.pi * torch.arange(self.bins, dtype=torch.float64)[:, None] * samples / n_fft
        basis = torch.cat([torch.cos(angles), -torch.sin(angles)])  # real rows, then imaginary rows
        weights = torch.full((self.bins, 1), 2.0 / n_fft, dtype=torch.float64)
        weights[0] = weights[-1] = 1.0 / n_fft
        inverse = basis * torch.cat([weights, weights])
        self.register_buffer("analysis", (basis * window).float()[:, None], persistent=False)
        self.register_buffer("synthesis", (inverse * window).float()[:, None], persistent=False)
        self.register_buffer("window_power", window.square().float()[None, None], persistent=False)

    def forward(self, signal: Tensor) -> Tensor:
        """(batch, 1, samples) -> (batch, 2 * bins, samples // hop + 1): real parts, then imaginary parts."""
        padded = F.pad(signal, (self.n_fft // 2, self.n_fft // 2), mode="reflect")
        return F.conv1d(padded, self.analysis.to(signal.dtype), stride=self.hop)

    def inverse(self, magnitude: Tensor, phase: Tensor) -> Tensor:
        """Two (batch, bins, frames) -> (batch, (frames - 1) * hop)."""
        parts = torch.cat([magnitude * torch.cos(phase), magnitude * torch.sin(phase)], dim=1)
        overlapped = F.conv_transpose1d(parts, self.synthesis.to(parts.dtype), stride=self.hop)
        ones = parts.new_ones((1, 1, parts.shape[-1]))
        power = F.conv_transpose1d(ones, self.window_power.to(parts.dtype), stride=self.hop)
        cut = slice(self.n_fft // 2, overlapped.shape[-1] - self.n_fft // 2)
        return (overlapped[:, 0, cut] / power[:, 0, cut]).contiguous()
