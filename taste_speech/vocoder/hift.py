"""HiFT vocoder: mel frames -> waveform, by upsampling, a harmonic source and an inverse STFT.

The structure follows HiFTNet (Li et al., 2023) as the published voice generator has it, with any number
of upsampling stages: `hop_samples` = product of `upsample_rates` * `istft_hop`.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from taste_speech.vocoder.configuration import VoiceGeneratorConfig
from taste_speech.vocoder.source import HarmonicSource, SourceVocoder
from taste_speech.vocoder.spectra import ShortTimeTransform
from taste_speech.vocoder.weight_norm import Conv1d, ConvTranspose1d, fold_weight_norm


class F0Predictor(nn.Module):
    """Convolutions over mel frames; predicts the voice's fundamental frequency of each frame."""

    def __init__(self, config: VoiceGeneratorConfig) -> None:
        super().__init__()
        channels = config.hift.f0_channels
        layers: list[nn.Module] = []
        for index in range(config.hift.f0_layers):
            layers += [Conv1d(channels if index else config.mel_bins, channels, 3), nn.ELU()]
        self.condnet = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, 1)

    def forward(self, mel: Tensor) -> Tensor:
        """(batch, bins, frames) -> (batch, frames), Hz; frames below the voicing threshold are unvoiced."""
        hidden = self.condnet(mel).transpose(1, 2)
        return self.classifier(hidden).squeeze(-1).abs()


_INIT_STD = 0.01  # small, so that a residual block starts near the identity (HiFi-GAN)
_MAX_MAGNITUDE = 100.0
_SNAKE_EPS = 1e-9


class Snake(nn.Module):
    """x + sin^2(alpha x) / alpha, one alpha per channel (Ziyin et al., 2020)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, frames) -> the same shape."""
        alpha = self.alpha[:, None]
        return x + torch.sin(alpha * x).square() / (alpha + _SNAKE_EPS)


class ResBlock(nn.Module):
    """Residual pairs of convolutions, the first of each pair dilated."""

    def __init__(self, channels: int, kernel: int, dilations: list[int]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(
            Conv1d(channels, channels, kernel, dilation, _INIT_STD) for dilation in dilations
        )
        self.convs2 = nn.ModuleList(Conv1d(channels, channels, kernel, 1, _INIT_STD) for _ in dilations)
        self.activations1 = nn.ModuleList(Snake(channels) for _ in dilations)
        self.activations2 = nn.ModuleList(Snake(channels) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, frames) -> the same shape."""
        for snake1, conv1, snake2, conv2 in zip(
            self.activations1, self.convs1, self.activations2, self.convs2, strict=True
        ):
            x = x + conv2(snake2(conv1(snake1(x))))
        return x


class HiFT(SourceVocoder):
    """The vocoder. `forward` is the whole way; `f0_predictor`, `excite` and `decode` are its parts."""

    def __init__(self, config: VoiceGeneratorConfig) -> None:
        super().__init__()
        hift = config.hift
        _check(config)
        self.config = config
        self.stft = ShortTimeTransform(hift.istft_n_fft, hift.istft_hop)
        self.f0_predictor = F0Predictor(config)
        self.m_source = HarmonicSource(config)
        self.conv_pre = Conv1d(config.mel_bins, hift.base_channels, 7)
        self.ups = nn.ModuleList()
        self.source_downs = nn.ModuleList()
        self.source_resblocks = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        channels = hift.base_channels
        for stage, (rate, kernel) in enumerate(
            zip(hift.upsample_rates, hift.upsample_kernel_sizes, strict=True)
        ):
            self.ups.append(ConvTranspose1d(channels, channels // 2, kernel, rate, _INIT_STD))
            channels //= 2
            # The source's STFT has the frame rate of the last stage: the stages before see it decimated.
            decimation = math.prod(hift.upsample_rates[stage + 1 :])
            width, padding = (1, 0) if decimation == 1 else (2 * decimation, decimation // 2)
            self.source_downs.append(nn.Conv1d(2 * self.stft.bins, channels, width, decimation, padding))
            self.source_resblocks.append(
                ResBlock(
                    channels, hift.source_resblock_kernel_sizes[stage], hift.source_resblock_dilations[stage]
                )
            )
            self.resblocks.extend(
                ResBlock(channels, size, dilations)
                for size, dilations in zip(hift.resblock_kernel_sizes, hift.resblock_dilations, strict=True)
            )
        self.conv_post = Conv1d(channels, 2 * self.stft.bins, 7, init_std=_INIT_STD)

    def fold_weight_norm(self) -> None:
        """Compute all effective weights once, for inference."""
        fold_weight_norm(self)

    def decode(self, mel: Tensor, source: Tensor) -> Tensor:
        """(batch, bins, frames) and (batch, 1, frames * hop) -> waveform (batch, frames * hop)."""
        hift = self.config.hift
        with torch.autocast(source.device.type, enabled=False):
            source_spectrum = self.stft(source.to(mel.dtype))
        x = self.conv_pre(mel)
        kernels = len(hift.resblock_kernel_sizes)
        for stage, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, hift.leaky_relu_slope))
            if stage == len(self.ups) - 1:
                x = F.pad(x, (1, 0), mode="reflect")  # the centered STFT has one frame more
            x = x + self.source_resblocks[stage](self.source_downs[stage](source_spectrum))
            blocks = self.resblocks[stage * kernels : (stage + 1) * kernels]
            x = torch.stack([block(x) for block in blocks]).mean(dim=0)
        x = self.conv_post(F.leaky_relu(x, hift.final_leaky_relu_slope))
        # Mixed precision (training) ends here: a phase of eight bits would be audible.
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(mel.dtype)
            magnitude, phase = x.chunk(2, dim=1)
            magnitude = torch.exp(magnitude).clamp(max=_MAX_MAGNITUDE)
            # The sine of the last layer *is* the phase, in radians, in the published model (scale 1).
            wave = self.stft.inverse(magnitude, hift.phase_scale * torch.sin(phase))
        return wave.clamp(-hift.audio_limit, hift.audio_limit)


def _check(config: VoiceGeneratorConfig) -> None:
    hift = config.hift
    hop = math.prod(hift.upsample_rates) * hift.istft_hop
    if hop != config.hop_samples:
        raise ValueError(
            f"hop_samples {config.hop_samples} differs from upsample_rates {hift.upsample_rates} * istft_hop "
            f"{hift.istft_hop} = {hop}; change one of them in section voice_generator"
        )
    stages = len(hift.upsample_rates)
    for name in ("upsample_kernel_sizes", "source_resblock_kernel_sizes", "source_resblock_dilations"):
        if len(getattr(hift, name)) != stages:
            raise ValueError(
                f"hift.{name} has {len(getattr(hift, name))} entries for {stages} upsampling stages; "
                "give one for each stage"
            )
    if len(hift.resblock_kernel_sizes) != len(hift.resblock_dilations):
        raise ValueError("hift.resblock_kernel_sizes and resblock_dilations differ in length; give pairs")
