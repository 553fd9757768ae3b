"""Log-mel frames of recorded speech, as the flow and the vocoder are trained on them."""

import functools

import torch
from torch import Tensor
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
    """Natural logarithm of the mel magnitudes.

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
