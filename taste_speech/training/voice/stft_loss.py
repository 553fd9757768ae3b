"""Spectral losses of a vocoder (Yamamoto et al. 2020, section 2.2)."""

import torch
from torch import Tensor
from torch.nn import functional as F


def stft_magnitude(audio: Tensor, n_fft: int, hop: int) -> Tensor:
    """Magnitudes (batch, bins, frames) of audio (batch, samples).

    The root keeps a small constant below it: the gradient of a magnitude at zero is not a number.
    """
    window = torch.hann_window(n_fft, device=audio.device)
    spectrum = torch.stft(audio, n_fft, hop, window=window, return_complex=True)
    return torch.sqrt(spectrum.real**2 + spectrum.imag**2 + 1e-7)


def multi_resolution_stft_loss(
    produced: Tensor, target: Tensor, n_ffts: tuple[int, ...] = (512, 1024, 256)
) -> Tensor:
    """Mean over resolutions of spectral convergence plus log-magnitude L1; inputs (batch, samples)."""
    losses = []
    for n_fft in n_ffts:
        a, b = (stft_magnitude(x, n_fft, n_fft // 4) for x in (produced, target))
        convergence = torch.linalg.norm(a - b) / torch.linalg.norm(b).clamp(min=1e-4)
        losses.append(convergence + F.l1_loss(a.log(), b.log()))
    return torch.stack(losses).mean()
