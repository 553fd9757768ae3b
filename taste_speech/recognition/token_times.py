"""When the words of a transcript were said, from where the decoder looked as it wrote them."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

_SMOOTHED = 7
"""Frames of the median that takes single peaks away, as in Whisper."""


def token_frames(attention: Tensor) -> list[int]:
    """The frame before which each token, but for the last, ends.

    Each head's weights are made comparable over the tokens, so that frames at which every token looks count
    for none. Then the path that gives each token, in order, a stretch of frames and collects the most.

    Args:
        attention: (heads, tokens, frames), of the heads that look where a token is said; the last token is
            the end of the text.
    """
    spread, mean = torch.std_mean(attention, dim=1, keepdim=True, unbiased=False)
    levelled = (attention - mean) / spread.clamp(min=1e-9)
    reach = _SMOOTHED // 2
    padded = functional.pad(levelled, (reach, reach), mode="reflect")
    return _segments(padded.unfold(2, _SMOOTHED, 1).median(-1).values.mean(0).numpy())


def _segments(scores: NDArray[np.float32]) -> list[int]:
    """End of each row's stretch, but for the last, in the best cut of the columns into one for each row."""
    rows, frames = scores.shape
    sums = np.pad(np.cumsum(scores, axis=1), ((0, 0), (1, 0)))  # (rows, frames + 1): up to each boundary
    best, came_from = sums[0], []
    for row in range(1, rows):
        begun = best - sums[row]  # of a stretch that begins at each boundary
        highest = np.maximum.accumulate(begun)
        came_from.append(np.maximum.accumulate(np.where(begun == highest, np.arange(frames + 1), 0)))
        best = highest + sums[row]
    ends = [frames]
    for boundaries in reversed(came_from):
        ends.insert(0, int(boundaries[ends[0]]))
    return ends[:-1]
