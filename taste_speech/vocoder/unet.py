"""U-Net with transformer blocks that estimates the velocity field of the flow."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from taste_speech.vocoder.configuration import EstimatorConfig
from taste_speech.vocoder.frames import ConvBlock, masked


class TimeMLP(nn.Module):
    """Vector of the flow's time."""

    def __init__(self, config: EstimatorConfig) -> None:
        super().__init__()
        self.config = config
        self.linear_1 = nn.Linear(config.time_embed_dim, config.time_mlp_dim)
        self.linear_2 = nn.Linear(config.time_mlp_dim, config.time_mlp_dim)

    def forward(self, time: Tensor) -> Tensor:
        """(batch,) times in [0, 1] -> (batch, time_mlp_dim)."""
        half = self.config.time_embed_dim // 2
        exponents = torch.arange(half, device=time.device, dtype=torch.float32) / (half - 1)
        frequencies = torch.exp(-math.log(10000.0) * exponents)
        angles = self.config.time_scale * time.float()[:, None] * frequencies
        waves = torch.cat([torch.sin(angles), torch.cos(angles)], dim=-1)
        return self.linear_2(F.silu(self.linear_1(waves.to(self.linear_1.weight.dtype))))


class ResnetBlock(nn.Module):
    """Two convolution blocks with the time vector between, and a residual path."""

    def __init__(self, inputs: int, outputs: int, config: EstimatorConfig) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Mish(), nn.Linear(config.time_mlp_dim, outputs))
        self.block1 = ConvBlock(inputs, outputs, config.norm_groups)
        self.block2 = ConvBlock(outputs, outputs, config.norm_groups)
        self.res_conv = nn.Conv1d(inputs, outputs, 1)

    def forward(self, x: Tensor, time: Tensor, mask: Tensor | None) -> Tensor:
        """(batch, inputs, frames), (batch, time_mlp_dim) -> (batch, outputs, frames)."""
        hidden = self.block1(x, mask) + self.mlp(time)[:, :, None]
        return self.block2(hidden, mask) + self.res_conv(masked(x, mask))


class Attention(nn.Module):
    """Self-attention over frames without positions."""

    def __init__(self, size: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(size, heads * head_dim, bias=False)
        self.to_k = nn.Linear(size, heads * head_dim, bias=False)
        self.to_v = nn.Linear(size, heads * head_dim, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(heads * head_dim, size)])

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(batch, frames, size); `mask` (batch, 1, frames) of the keys."""
        query, keys, values = (
            part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.to_q, self.to_k, self.to_v)
        )
        key_mask = None if mask is None else mask[:, None]
        out = F.scaled_dot_product_attention(query, keys, values, key_mask)
        return self.to_out[0](out.transpose(1, 2).flatten(2))


class GELUProjection(nn.Module):
    """Linear layer and exact GELU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.proj = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        return F.gelu(self.proj(x))


class FeedForward(nn.Module):
    """Two linear layers; numbered as published (1 is a dropout)."""

    def __init__(self, size: int, mult: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            GELUProjection(size, size * mult), nn.Identity(), nn.Linear(size * mult, size)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(..., size) -> (..., size)."""
        return self.net(x)


class TransformerBlock(nn.Module):
    """Pre-norm attention and feed-forward."""

    def __init__(self, size: int, config: EstimatorConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(size, eps=1e-5)
        self.attn1 = Attention(size, config.num_heads, config.head_dim)
        self.norm3 = nn.LayerNorm(size, eps=1e-5)
        self.ff = FeedForward(size, config.feed_forward_mult)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(batch, frames, size) -> the same shape."""
        x = x + self.attn1(self.norm1(x), mask)
        return x + self.ff(self.norm3(x))


class Downsample(nn.Module):
    """Halves the frame rate."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, frames) -> (batch, channels, ceil(frames / 2))."""
        return self.conv(x)


class Upsample(nn.Module):
    """Doubles the frame rate."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose1d(channels, channels, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, frames) -> (batch, channels, 2 * frames)."""
        return self.conv(x)


def _same_rate(channels: int) -> nn.Module:
    return nn.Conv1d(channels, channels, 3, padding=1)


def _stage(inputs: int, outputs: int, config: EstimatorConfig, last: nn.Module | None) -> nn.ModuleList:
    transformers = nn.ModuleList(TransformerBlock(outputs, config) for _ in range(config.num_transformers))
    parts = [ResnetBlock(inputs, outputs, config), transformers]
    return nn.ModuleList(parts if last is None else [*parts, last])


def _run_stage(stage: nn.Module, x: Tensor, time: Tensor, mask: Tensor | None) -> Tensor:
    """Run the resnet and the transformers of a stage, but not its resampling."""
    resnet, transformers = stage[0], stage[1]  # type: ignore[index]
    x = resnet(x, time, mask).transpose(1, 2)
    for transformer in transformers:
        x = transformer(x, mask)
    return x.transpose(1, 2)


class Estimator(nn.Module):
    """Velocity of the flow at a time, given the condition."""

    def __init__(self, mel_bins: int, config: EstimatorConfig) -> None:
        super().__init__()
        self.time_mlp = TimeMLP(config)
        channels = config.channels
        self.down_blocks = nn.ModuleList()
        inputs = 4 * mel_bins  # state, condition, speaker, prompt
        for index, outputs in enumerate(channels):
            last = _same_rate(outputs) if index == len(channels) - 1 else Downsample(outputs)
            self.down_blocks.append(_stage(inputs, outputs, config, last))
            inputs = outputs
        self.mid_blocks = nn.ModuleList(
            _stage(inputs, inputs, config, None) for _ in range(config.num_mid_blocks)
        )
        self.up_blocks = nn.ModuleList()
        for index, (outputs, skip) in enumerate(_up_channels(channels)):
            last = _same_rate(outputs) if index == len(channels) - 1 else Upsample(outputs)
            self.up_blocks.append(_stage(inputs + skip, outputs, config, last))
            inputs = outputs
        self.final_block = ConvBlock(inputs, inputs, config.norm_groups)
        self.final_proj = nn.Conv1d(inputs, mel_bins, 1)

    def forward(
        self,
        x: Tensor,
        condition: Tensor,
        time: Tensor,
        speaker: Tensor,
        prompt: Tensor,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Return the velocity.

        Args:
            x, condition, prompt: (batch, bins, frames).
            time: (batch,) in [0, 1].
            speaker: (batch, bins).
            mask: (batch, 1, frames) booleans, valid frames; None: all.

        Returns:
            (batch, bins, frames), zero outside the mask.
        """
        vector = self.time_mlp(time)
        x = torch.cat([x, condition, speaker[:, :, None].expand_as(x), prompt], dim=1)
        skips: list[tuple[Tensor, Tensor | None]] = []
        stage_mask = mask
        for stage in self.down_blocks:
            x = _run_stage(stage, x, vector, stage_mask)
            skips.append((x, stage_mask))
            x = stage[2](masked(x, stage_mask))  # type: ignore[index]
            if stage_mask is not None and isinstance(stage[2], Downsample):  # type: ignore[index]
                stage_mask = stage_mask[:, :, ::2]
        for stage in self.mid_blocks:
            x = _run_stage(stage, x, vector, stage_mask)
        for stage, (skip, skip_mask) in zip(self.up_blocks, reversed(skips), strict=True):
            x = torch.cat([x[:, :, : skip.shape[-1]], skip], dim=1)
            x = _run_stage(stage, x, vector, skip_mask)
            x = stage[2](masked(x, skip_mask))  # type: ignore[index]
        return masked(self.final_proj(self.final_block(x, mask)), mask)


def _up_channels(channels: list[int]) -> Iterable[tuple[int, int]]:
    """(output channels, skip channels) of the stages on the way up."""
    reversed_channels = channels[::-1]
    return zip([*reversed_channels[1:], channels[0]], reversed_channels, strict=True)
