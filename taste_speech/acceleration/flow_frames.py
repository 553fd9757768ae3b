"""The flow's Euler steps on the CPU, with channels last and without repeated work.

`Estimator` alternates between (channels, frames) for convolutions and (frames, channels) for attention. Here
everything is (batch, frames, channels), which convolutions support, too, and there are no masks. Constant
results are computed once for all steps: the time vectors, and the contributions of condition, speaker and
prompt to the first layers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from taste_speech.vocoder.flow import FlowMatching
from taste_speech.vocoder.frames import ConvBlock, MaskedGroupNorm
from taste_speech.vocoder.unet import Downsample, Estimator, ResnetBlock, TransformerBlock, Upsample


@dataclass(frozen=True)
class _Course:
    """Values that all steps of a call share.

    Attributes:
        convolved, projected: (batch, frames, channels) contributions of the given channels to the first two
            layers.
        times: (steps, channels) for each resnet.
    """

    convolved: Tensor
    projected: Tensor
    times: list[Tensor]


class FlowFrames:
    """Solves a flow. It holds the estimator's weights in a suitable layout, but no state of a call.

    The first layers are split into one part for the channels of the state and one for the given channels.
    """

    @torch.no_grad()
    def __init__(self, estimator: Estimator) -> None:
        self._time_mlp = estimator.time_mlp
        self._down, self._mid, self._up = (
            [_Stage(cast(nn.ModuleList, stage)) for stage in stages]
            for stages in (estimator.down_blocks, estimator.mid_blocks, estimator.up_blocks)
        )
        first = cast(ResnetBlock, cast(nn.ModuleList, estimator.down_blocks[0])[0])
        layers = (cast(nn.Conv1d, first.block1.block[0]), first.res_conv)
        bins = estimator.final_proj.out_channels
        self._of_state = [_Conv(layer, slice(0, bins), bias=False) for layer in layers]
        self._of_given = [_Conv(layer, slice(bins, None)) for layer in layers]
        self._final_block = _ConvBlock(estimator.final_block)
        self._final_projection = _Conv(estimator.final_proj)

    @torch.no_grad()
    def solve(
        self,
        flow: FlowMatching,
        noise: Tensor,
        condition: Tensor,
        speaker: Tensor,
        prompt: Tensor,
        known: Tensor | None,
        is_known: Tensor | None,
        num_steps: int,
    ) -> Tensor:
        """Do the same as `FlowMatching.integrate` without a mask."""
        given = torch.cat([condition, speaker[:, :, None].expand_as(condition), prompt], dim=1)
        if flow.config.cfg_rate > 0:
            given = torch.cat([given, torch.zeros_like(given)])  # the second half is unconditioned
        times = flow.times(num_steps, noise.device).to(noise.dtype)
        course = self._prepare(given.transpose(1, 2).contiguous(), times[:-1])
        x = flow.euler(
            lambda x, step: self._velocity(x, course, step),
            noise.transpose(1, 2).contiguous(),
            condition.transpose(1, 2),
            times,
            None if known is None else known.transpose(1, 2),
            None if is_known is None else is_known[:, None],
        )
        return x.transpose(1, 2)

    def _prepare(self, given: Tensor, times: Tensor) -> _Course:
        """Compute the shared values of given channels (batch, frames, channels) and times (steps,)."""
        vectors = self._time_mlp(times)
        resnets = [stage.resnet for stage in (*self._down, *self._mid, *self._up)]
        convolved, projected = (layer(given) for layer in self._of_given)
        return _Course(convolved, projected, [resnet.times(vectors) for resnet in resnets])

    def _velocity(self, x: Tensor, course: _Course, step: int) -> Tensor:
        """(items, frames, bins) -> (batch, frames, bins); the batch has the items once or twice."""
        times = iter([by_step[step] for by_step in course.times])
        convolved, projected = (layer(x) for layer in self._of_state)
        first, *others = self._down
        x = first.resnet.finish(
            _shared(course.convolved, convolved), _shared(course.projected, projected), next(times)
        )
        skips = [first.transform(x)]
        x = first.resample(skips[0])
        for stage in others:
            skips.append(stage.transform(stage.resnet(x, next(times))))
            x = stage.resample(skips[-1])
        for stage in self._mid:
            x = stage.transform(stage.resnet(x, next(times)))
        for stage, skip in zip(self._up, reversed(skips), strict=True):
            x = torch.cat([x[:, : skip.shape[1]], skip], dim=2)
            x = stage.resample(stage.transform(stage.resnet(x, next(times))))
        return self._final_projection(self._final_block(x))


def _shared(given: Tensor, of_state: Tensor) -> Tensor:
    """Add (items, ...) to each copy of the items in (batch, ...)."""
    return (given.unflatten(0, (-1, len(of_state))) + of_state).flatten(0, 1)


class _Stage:
    """A resnet, its transformers and resampling."""

    def __init__(self, stage: nn.ModuleList) -> None:
        self.resnet = _Resnet(cast(ResnetBlock, stage[0]))
        blocks = cast(nn.ModuleList, stage[1])
        self._transformers = [_Transformer(cast(TransformerBlock, block)) for block in blocks]
        self.resample: Callable[[Tensor], Tensor] = nn.Identity()
        for last in stage[2:]:
            self.resample = _Conv(
                last.conv if isinstance(last, Downsample | Upsample) else cast(nn.Conv1d, last)
            )

    def transform(self, x: Tensor) -> Tensor:
        """Apply all transformers of the stage."""
        for transformer in self._transformers:
            x = transformer(x)
        return x


_MISH_IS_IDENTITY = 20.0  # for larger inputs, in float32


def mish(x: Tensor) -> Tensor:
    """Compute x tanh(log(1 + e^x)) with one exponential, as x m / (m + 1) with m = e^x + e^2x / 2."""
    power = x.clamp(max=_MISH_IS_IDENTITY).exp_()
    power = torch.addcmul(power, power, power, value=0.5)
    return (power / (power + 1)).mul_(x)


class _Conv:
    """A convolution over frames, optionally of some of the input channels only."""

    def __init__(
        self, conv: nn.Conv1d | nn.ConvTranspose1d, inputs: slice | None = None, bias: bool = True
    ) -> None:
        weight = conv.weight if inputs is None else conv.weight[:, inputs]
        # As images of one row: only two-dimensional convolutions support channels last.
        self._weight = weight[:, :, None].contiguous(memory_format=torch.channels_last)
        self._bias = conv.bias if bias else None
        self._convolve = F.conv_transpose2d if isinstance(conv, nn.ConvTranspose1d) else F.conv2d
        self._stride, self._padding = (1, conv.stride[0]), (0, cast(int, conv.padding[0]))

    def __call__(self, x: Tensor) -> Tensor:
        """(batch, frames, inputs) -> (batch, frames', outputs)."""
        image = x.transpose(1, 2)[:, :, None]
        image = self._convolve(image, self._weight, self._bias, self._stride, self._padding)
        return image[:, :, 0].transpose(1, 2)


class _Norm:
    """Group normalization and Mish."""

    def __init__(self, norm: MaskedGroupNorm) -> None:
        self._norm = norm

    def __call__(self, x: Tensor) -> Tensor:
        """(batch, frames, channels) -> the same shape."""
        norm = self._norm
        image = x.transpose(1, 2)[:, :, None]
        image = F.group_norm(image, norm.num_groups, norm.weight, norm.bias, norm.eps)
        return mish(image[:, :, 0].transpose(1, 2))


class _ConvBlock:
    """`ConvBlock` with channels last."""

    def __init__(self, block: ConvBlock) -> None:
        conv, norm = block.block
        self.conv, self.norm = _Conv(cast(nn.Conv1d, conv)), _Norm(cast(MaskedGroupNorm, norm))

    def __call__(self, x: Tensor) -> Tensor:
        """(batch, frames, inputs) -> (batch, frames, outputs)."""
        return self.norm(self.conv(x))


class _Resnet:
    """`ResnetBlock`; the outputs of its first layers can be passed separately."""

    def __init__(self, resnet: ResnetBlock) -> None:
        self.times = resnet.mlp
        self._first, self._second = _ConvBlock(resnet.block1), _ConvBlock(resnet.block2)
        self._residual = _Conv(resnet.res_conv)

    def __call__(self, x: Tensor, time: Tensor) -> Tensor:
        """(batch, frames, inputs), (outputs,) -> (batch, frames, outputs)."""
        return self.finish(self._first.conv(x), self._residual(x), time)

    def finish(self, convolved: Tensor, residual: Tensor, time: Tensor) -> Tensor:
        """Continue from the outputs of the first convolution and of the residual path."""
        return self._second(self._first.norm(convolved) + time) + residual


class _Transformer:
    """`TransformerBlock`, with one linear layer for queries, keys and values."""

    def __init__(self, block: TransformerBlock) -> None:
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
