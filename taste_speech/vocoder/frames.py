"""Frames: layers with a mask, so that a padded batch equals its items one by one, and units -> mel frames."""

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


_LAYERS_PER_CONV = 3  # convolution, normalization, activation: the published numbering


def stretched_units(unit_counts: Tensor, frame_counts: Tensor, frames: int) -> Tensor:
    """Return the index of the unit under each mel frame, the units being stretched to the frame count.

    Args:
        unit_counts, frame_counts: (batch,).
        frames: length of the result, at least the largest frame count.

    Returns:
        (batch, frames) indices, as nearest-neighbor interpolation picks them.
    """
    scale = unit_counts.float() / frame_counts.clamp(min=1)
    steps = torch.arange(frames, device=unit_counts.device, dtype=torch.float32)
    indices = torch.floor(steps * scale[:, None]).long()
    return torch.minimum(indices, (unit_counts[:, None] - 1).clamp(min=0))


class LengthRegulator(nn.Module):
    """Repeats each unit's vector for its frames, then smooths over time."""

    def __init__(self, channels: int, convs: int) -> None:
        super().__init__()
        self.convs = convs
        self.model = nn.ModuleDict()
        for index in range(convs):
            first = str(_LAYERS_PER_CONV * index)
            self.model[first] = nn.Conv1d(channels, channels, 3, padding=1)
            self.model[str(_LAYERS_PER_CONV * index + 1)] = MaskedGroupNorm(1, channels)
        self.model[str(_LAYERS_PER_CONV * convs)] = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor, frame_units: Tensor, mask: Tensor | None = None) -> Tensor:
        """Turn vectors of units into vectors of frames.

        Args:
            x: (batch, units, channels).
            frame_units: (batch, frames), the unit under each frame.
            mask: (batch, 1, frames) valid frames; None: all.

        Returns:
            (batch, channels, frames).
        """
        x = x.gather(1, frame_units[..., None].expand(-1, -1, x.shape[-1])).transpose(1, 2)
        for index in range(self.convs):
            conv = self.model[str(_LAYERS_PER_CONV * index)]
            norm = self.model[str(_LAYERS_PER_CONV * index + 1)]
            x = F.mish(norm(conv(masked(x, mask)), mask))
        return masked(self.model[str(_LAYERS_PER_CONV * self.convs)](x), mask)
