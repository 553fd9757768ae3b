"""Random numbers that belong to absolute frames: the same frame has the same noise in every window."""

import torch
from torch import Tensor

_FRAMES_PER_BLOCK = 32
_BLOCK_STRIDE = 1_000_003  # a prime, so that blocks of neighbouring seeds do not coincide


class FrameNoise:
    """Standard normal numbers by frame.

    Args:
        seed: decides all of them.
        stream: streams of one seed are independent.
        shape: of the numbers of one frame.
    """

    def __init__(self, seed: int, stream: int, shape: tuple[int, ...]) -> None:
        self.seed, self.stream, self.shape = seed, stream, shape

    def frames(self, start: int, end: int) -> Tensor:
        """Numbers of the frames start, ..., end - 1: (end - start, *shape), on the CPU."""
        first, last = start // _FRAMES_PER_BLOCK, -(-end // _FRAMES_PER_BLOCK)
        blocks = torch.cat([self._block(index) for index in range(first, max(last, first + 1))])
        offset = first * _FRAMES_PER_BLOCK
        return blocks[start - offset : end - offset]

    def _block(self, index: int) -> Tensor:
        seed = (self.seed * _BLOCK_STRIDE + index) * _BLOCK_STRIDE + self.stream
        generator = torch.Generator().manual_seed(seed % 2**63)
        return torch.randn((_FRAMES_PER_BLOCK, *self.shape), generator=generator)
