"""The flow's Euler steps on the CPU: frames by channels throughout, and nothing computed twice.

`Estimator` goes back and forth between (channels, frames) for convolutions and (frames, channels) for
attention. Here everything is (batch, frames, channels), which convolutions take too. What no step changes
is computed once: the time vectors, and what condition, speaker and prompt add to the first layers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from taste_speech.acceleration.frame_layers import FrameConv, FrameConvBlock, FrameResnet, FrameTransformer
from taste_speech.acceleration.prepared import Prepared
from taste_speech.vocoder.unet import Downsample, Estimator, ResnetBlock, TransformerBlock, Upsample

if TYPE_CHECKING:
    from taste_speech.vocoder.flow import FlowMatching


class FlowFrameRunner:
    """Runs `FlowMatching.integrate`. It keeps the weights as frames need them, and nothing of a call."""

    def __init__(self) -> None:
        self._estimator = Prepared[_FrameEstimator]()

    @torch.no_grad()
    def solve(
        self,
        flow: "FlowMatching",
        noise: Tensor,
        condition: Tensor,
        speaker: Tensor,
        prompt: Tensor,
        known: Tensor | None,
        is_known: Tensor | None,
        num_steps: int,
    ) -> Tensor:
        """As `FlowMatching.integrate` without a mask."""
        estimator = self._estimator.of(flow.estimator.parameters(), lambda: _FrameEstimator(flow.estimator))
        given = torch.cat([condition, speaker[:, :, None].expand_as(condition), prompt], dim=1)
        if flow.config.cfg_rate > 0:
            given = torch.cat([given, torch.zeros_like(given)])  # the second half is unconditioned
        times = flow.times(num_steps, noise.device).to(noise.dtype)
        course = estimator.prepare(given.transpose(1, 2).contiguous(), times[:-1])
        x = flow.euler(
            lambda x, step: estimator.velocity(x, course, step),
            noise.transpose(1, 2).contiguous(),
            times,
            None if known is None else known.transpose(1, 2),
            None if is_known is None else is_known[:, None],
        )
        return x.transpose(1, 2)


@dataclass(frozen=True)
class _Course:
    """What all steps of a call share.

    Attributes:
        convolved, projected: (batch, frames, channels) what the given channels add to the first two layers.
        times: by resnet, (steps, channels).
    """

    convolved: Tensor
    projected: Tensor
    times: list[Tensor]


class _FrameEstimator:
    """`Estimator` with its first layers in two: for the channels of the state, and for the given ones."""

    def __init__(self, estimator: Estimator) -> None:
        self._time_mlp = estimator.time_mlp
        self._down, self._mid, self._up = (
            [_Stage(cast(nn.ModuleList, stage)) for stage in stages]
            for stages in (estimator.down_blocks, estimator.mid_blocks, estimator.up_blocks)
        )
        first = cast(ResnetBlock, cast(nn.ModuleList, estimator.down_blocks[0])[0])
        layers = (cast(nn.Conv1d, first.block1.block[0]), first.res_conv)
        bins = estimator.final_proj.out_channels
        self._of_state = [FrameConv(layer, slice(0, bins), bias=False) for layer in layers]
        self._of_given = [FrameConv(layer, slice(bins, None)) for layer in layers]
        self._final_block = FrameConvBlock(estimator.final_block)
        self._final_projection = FrameConv(estimator.final_proj)

    def prepare(self, given: Tensor, times: Tensor) -> _Course:
        """`given` (batch, frames, channels beyond the state's), times (steps,)."""
        vectors = self._time_mlp(times)
        resnets = [stage.resnet for stage in (*self._down, *self._mid, *self._up)]
        convolved, projected = (layer(given) for layer in self._of_given)
        return _Course(convolved, projected, [resnet.times(vectors) for resnet in resnets])

    def velocity(self, x: Tensor, course: _Course, step: int) -> Tensor:
        """(items, frames, bins) -> (batch, frames, bins); the batch is the items once or twice."""
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
    """(batch, ...) + (items, ...), which every share of the batch takes."""
    return (given.unflatten(0, (-1, len(of_state))) + of_state).flatten(0, 1)


class _Stage:
    """Resnet, transformers and resampling."""

    def __init__(self, stage: nn.ModuleList) -> None:
        self.resnet = FrameResnet(cast(ResnetBlock, stage[0]))
        blocks = cast(nn.ModuleList, stage[1])
        self._transformers = [FrameTransformer(cast(TransformerBlock, block)) for block in blocks]
        self.resample: Callable[[Tensor], Tensor] = lambda x: x
        for last in stage[2:]:
            self.resample = FrameConv(
                last.conv if isinstance(last, Downsample | Upsample) else cast(nn.Conv1d, last)
            )

    def transform(self, x: Tensor) -> Tensor:
        """All transformers of the stage."""
        for transformer in self._transformers:
            x = transformer(x)
        return x
