"""The flow's Euler steps at a few fixed lengths: windows are padded, and the padding is masked out."""

import math
import threading
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from taste_speech.acceleration.replay import Replay
from taste_speech.acceleration.settings import Acceleration

if TYPE_CHECKING:
    from taste_speech.vocoder.flow import FlowMatching


class FlowRunner:
    """Runs `FlowMatching.integrate` on padded buffers, all steps in one recording for each length.

    It keeps buffers, not state. Callers on several threads wait for each other.
    """

    def __init__(self, settings: Acceleration) -> None:
        self.settings = settings
        self._lengths: dict[tuple[int, ...], _FixedLength] = {}
        self._weights: tuple[object, ...] = ()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[Self], tuple[Acceleration]]:
        """A copied or stored model records its own lengths."""
        return type(self), (self.settings,)

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
        frames, bucket = noise.shape[-1], self.settings.flow_bucket_frames
        if frames > self.settings.flow_max_frames:
            return flow.integrate(noise, condition, speaker, prompt, known, is_known, None, num_steps)
        length = math.ceil(frames / bucket) * bucket
        with self._lock:
            fixed = self._fixed(flow, noise, length, num_steps)
            return fixed.run(noise, condition, speaker, prompt, known, is_known)

    def _fixed(self, flow: "FlowMatching", noise: Tensor, length: int, num_steps: int) -> "_FixedLength":
        weight = flow.estimator.final_proj.weight
        weights = (weight.device, weight.dtype, weight.data_ptr())
        if weights != self._weights:
            self._lengths.clear()
            self._weights = weights
        key = (len(noise), length, num_steps)
        if key not in self._lengths:
            self._lengths[key] = _FixedLength(flow, noise, length, num_steps)
        return self._lengths[key]


class _FixedLength:
    """Buffers and the recording of one batch size, length and number of steps."""

    def __init__(self, flow: "FlowMatching", like: Tensor, length: int, num_steps: int) -> None:
        batch, bins, _ = like.shape
        with torch.inference_mode(False), torch.no_grad():
            # noise, condition, prompt, known, result
            self._frames = [like.new_zeros(batch, bins, length) for _ in range(5)]
            self._speaker = like.new_zeros(batch, bins)
            self._valid = torch.ones(batch, 1, length, dtype=torch.bool, device=like.device)
            self._is_known = torch.zeros(length, dtype=torch.bool, device=like.device)

        def body() -> None:
            noise, condition, prompt, known, result = self._frames
            result.copy_(
                flow.integrate(
                    noise, condition, self._speaker, prompt, known, self._is_known, self._valid, num_steps
                )
            )

        self._replay = Replay(body, like.device)

    def run(
        self,
        noise: Tensor,
        condition: Tensor,
        speaker: Tensor,
        prompt: Tensor,
        known: Tensor | None,
        is_known: Tensor | None,
    ) -> Tensor:
        """Result of these inputs, (batch, bins, frames)."""
        frames, length = noise.shape[-1], self._frames[0].shape[-1]
        given = (noise, condition, prompt, torch.zeros_like(noise) if known is None else known)
        for buffer, value in zip(self._frames, given, strict=False):
            buffer.copy_(F.pad(value, (0, length - frames)))
        self._speaker.copy_(speaker)
        self._valid.copy_((torch.arange(length, device=noise.device) < frames).expand_as(self._valid))
        self._is_known.zero_()
        if is_known is not None:
            self._is_known[:frames] = is_known
        self._replay()
        return self._frames[-1][:, :, :frames].clone()
