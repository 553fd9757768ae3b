"""Layers of the flow's estimator for (batch, frames, channels) on the CPU, without masks."""

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from taste_speech.vocoder.masked import ConvBlock, MaskedGroupNorm
    from taste_speech.vocoder.unet import ResnetBlock, TransformerBlock

_MISH_IS_IDENTITY = 20.0  # from here on, in float32


def mish(x: Tensor) -> Tensor:
    """x tanh(log(1 + e^x)) from one exponential: with m = e^x + e^2x / 2 it is x m / (m + 1)."""
    power = x.clamp(max=_MISH_IS_IDENTITY).exp_()
    power = torch.addcmul(power, power, power, value=0.5)
    return (power / (power + 1)).mul_(x)


class FrameConv:
    """A convolution over frames; the weight's inputs can be cut to some channels."""

    def __init__(
        self, conv: nn.Conv1d | nn.ConvTranspose1d, inputs: slice | None = None, bias: bool = True
    ) -> None:
        weight = conv.weight if inputs is None else conv.weight[:, inputs]
        # Images of one row: two-dimensional convolutions compute with channels last, the others do not.
        self._weight = weight[:, :, None].contiguous(memory_format=torch.channels_last)
        self._bias = conv.bias if bias else None
        self._convolve = F.conv_transpose2d if isinstance(conv, nn.ConvTranspose1d) else F.conv2d
        self._stride, self._padding = (1, conv.stride[0]), (0, cast(int, conv.padding[0]))

    def __call__(self, x: Tensor) -> Tensor:
        """(batch, frames, inputs) -> (batch, frames', outputs)."""
        image = x.transpose(1, 2)[:, :, None]
        image = self._convolve(image, self._weight, self._bias, self._stride, self._padding)
        return image[:, :, 0].transpose(1, 2)


class FrameNorm:
    """Group normalisation and Mish."""

    def __init__(self, norm: "MaskedGroupNorm") -> None:
        self._norm = norm

    def __call__(self, x: Tensor) -> Tensor:
        """(batch, frames, channels) -> the same shape."""
        norm = self._norm
        image = x.transpose(1, 2)[:, :, None]
        image = F.group_norm(image, norm.num_groups, norm.weight, norm.bias, norm.eps)
        return mish(image[:, :, 0].transpose(1, 2))


class FrameConvBlock:
    """`ConvBlock`."""

    def __init__(self, block: "ConvBlock") -> None:
        conv, norm = block.block
        self.conv, self.norm = FrameConv(cast(nn.Conv1d, conv)), FrameNorm(cast("MaskedGroupNorm", norm))

    def __call__(self, x: Tensor) -> Tensor:
        """(batch, frames, inputs) -> (batch, frames, outputs)."""
        return self.norm(self.conv(x))


class FrameResnet:
    """`ResnetBlock`; its first layers can be given separately."""

    def __init__(self, resnet: "ResnetBlock") -> None:
        self.times = resnet.mlp
        self._first, self._second = FrameConvBlock(resnet.block1), FrameConvBlock(resnet.block2)
        self._residual = FrameConv(resnet.res_conv)

    def __call__(self, x: Tensor, time: Tensor) -> Tensor:
        """(batch, frames, inputs), (outputs,) -> (batch, frames, outputs)."""
        return self.finish(self._first.conv(x), self._residual(x), time)

    def finish(self, convolved: Tensor, residual: Tensor, time: Tensor) -> Tensor:
        """What follows the first convolution, and the convolution of the residual path."""
        return self._second(self._first.norm(convolved) + time) + residual


class FrameTransformer:
    """`TransformerBlock`, with one linear layer for queries, keys and values."""

    def __init__(self, block: "TransformerBlock") -> None:
        attention = block.attn1
        self._before_attention, self._before_feed_forward = block.norm1, block.norm3
        self._inputs = torch.cat([layer.weight for layer in (attention.to_q, attention.to_k, attention.to_v)])
        self._heads, self._output, self._feed_forward = attention.heads, attention.to_out[0], block.ff

    def __call__(self, x: Tensor) -> Tensor:
        """(batch, frames, size) -> the same shape."""
        three = F.linear(self._before_attention(x), self._inputs)
        query, keys, values = three.unflatten(-1, (3, self._heads, -1)).permute(2, 0, 3, 1, 4)
        out = F.scaled_dot_product_attention(query, keys, values)
        x = x + self._output(out.transpose(1, 2).flatten(2))
        return x + self._feed_forward(self._before_feed_forward(x))
