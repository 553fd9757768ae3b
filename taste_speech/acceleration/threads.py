"""How many CPU threads a part of the computation takes."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_MOST_WEIGHTS_OF_ONE = 20_000_000


@contextmanager
def threads_of_a_row(weights: int) -> Iterator[None]:
    """Within it, PyTorch computes on one thread if a row that reads so many weights is too small to share.

    Other threads of the process that compute already are not affected.
    """
    before = torch.get_num_threads()
    if before == 1 or weights > _MOST_WEIGHTS_OF_ONE:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
