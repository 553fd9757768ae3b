"""Layers that take a mask of valid frames, so that a padded batch equals its items one by one."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def frame_mask(counts: Tensor, frames: int) -> Tensor:
    """(batch,) frame counts -> (batch, 1, frames) booleans."""
    return (torch.arange(frames, device=counts.device) < counts[:, None])[:, None]


def masked(x: Tensor, mask: Tensor | None) -> Tensor:
    """`x` (batch, channels, frames) with the frames outside `mask` set to zero."""
    return x if mask is None else x * mask.to(x.dtype)


class MaskedGroupNorm(nn.GroupNorm):
    """Group normalization over channels of a group and valid frames."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(batch, channels, frames) and None or (batch, 1, frames) -> the shape of `x`."""
        if mask is None:
            return super().forward(x)
        groups = x.float().unflatten(1, (self.num_groups, -1))
        weights = mask[:, :, None].float()  # (batch, 1, 1, frames)
        count = weights.sum(-1, keepdim=True) * groups.shape[2]
        mean = (groups * weights).sum((2, 3), keepdim=True) / count
        variance = ((groups - mean).square() * weights).sum((2, 3), keepdim=True) / count
        normal = ((groups - mean) * torch.rsqrt(variance + self.eps)).flatten(1, 2).to(x.dtype)
        return normal * self.weight[:, None] + self.bias[:, None]


class ConvBlock(nn.Module):
    """Convolution (kernel 3), group normalization, Mish."""

    def __init__(self, inputs: int, outputs: int, groups: int) -> None:
        super().__init__()
        self.block = nn.ModuleList(
            [nn.Conv1d(inputs, outputs, 3, padding=1), MaskedGroupNorm(groups, outputs)]
        )

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(batch, inputs, frames) -> (batch, outputs, frames)."""
        conv, norm = self.block
        return masked(F.mish(norm(conv(masked(x, mask)), mask)), mask)
