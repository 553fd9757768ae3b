"""Batches of items of about equal length."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor


class LengthBatches:
    """Endless batches of indices whose padded size stays within a budget.

    Args:
        lengths: of each item.
        budget: most items x longest item of a batch.
        spread: random change of the sorting key, as a fraction of the length, so that batches differ
            from one pass to the next.
    """

    def __init__(self, lengths: Sequence[int], budget: int, spread: float = 0.15) -> None:
        self.lengths = torch.tensor(lengths, dtype=torch.float32)
        self.budget, self.spread = budget, spread

    def one_pass(self, generator: torch.Generator | None = None) -> list[list[int]]:
        """All items once, the batches in random order (in order of length without a generator)."""
        keys = self.lengths
        if generator is not None:
            keys = keys * (1 + self.spread * torch.rand(len(keys), generator=generator))
        batches: list[list[int]] = [[]]
        longest = 0.0
        for index in keys.argsort().tolist():
            longest = max(longest, float(self.lengths[index]))
            if batches[-1] and longest * (len(batches[-1]) + 1) > self.budget:
                batches.append([])
                longest = float(self.lengths[index])
            batches[-1].append(index)
        if generator is None:
            return batches
        return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]

    def endless(self, generator: torch.Generator) -> Iterator[list[int]]:
        """Pass after pass."""
        while True:
            yield from self.one_pass(generator)


def pad_ids(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    """Rows of ids -> (rows, longest) int64, filled up with `value`."""
    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])
