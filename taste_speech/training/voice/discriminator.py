"""The vocoder's spectral losses (Yamamoto et al. 2020, section 2.2) and discriminator (Jang et al. 2021)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm


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


class SpectrogramDiscriminator(nn.Module):
    """Judges patches of one magnitude spectrogram."""

    def __init__(self, n_fft: int, channels: int) -> None:
        super().__init__()
        self.n_fft = n_fft
        strides = [(2, 1), (2, 2), (2, 2), (2, 1)]
        widths = [1] + [channels] * len(strides)
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(widths[i], widths[i + 1], (5, 3), stride, padding=(2, 1)))
            for i, stride in enumerate(strides)
        )
        self.head = weight_norm(nn.Conv2d(channels, 1, 3, padding=1))

    def forward(self, audio: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Scores and layer activations for audio (batch, samples)."""
        x = stft_magnitude(audio, self.n_fft, self.n_fft // 4).clamp(min=1e-3).log()[:, None]
        activations = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.1)
            activations.append(x)
        return self.head(x), activations


class Discriminator(nn.Module):
    """Several resolutions; hinge losses and feature matching."""

    def __init__(self, n_ffts: tuple[int, ...] = (1024, 512), channels: int = 16) -> None:
        super().__init__()
        self.parts = nn.ModuleList(SpectrogramDiscriminator(n, channels) for n in n_ffts)

    def own_loss(self, real: Tensor, produced: Tensor) -> Tensor:
        """What the discriminator minimizes."""
        total = torch.zeros((), device=real.device)
        for part in self.parts:
            total = total + F.relu(1 - part(real)[0]).mean() + F.relu(1 + part(produced.detach())[0]).mean()
        return total / len(self.parts)

    def generator_losses(self, real: Tensor, produced: Tensor) -> tuple[Tensor, Tensor]:
        """Adversarial and feature-matching loss for the vocoder."""
        adversarial = torch.zeros((), device=real.device)
        matching = torch.zeros((), device=real.device)
        for part in self.parts:
            score, features = part(produced)
            with torch.no_grad():
                _, wanted = part(real)
            adversarial = adversarial - score.mean()
            distances = [F.l1_loss(a, b) for a, b in zip(features, wanted, strict=True)]
            matching = matching + torch.stack(distances).mean()
        return adversarial / len(self.parts), matching / len(self.parts)
