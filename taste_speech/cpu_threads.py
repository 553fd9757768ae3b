"""How many CPU threads a computation takes."""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch

_MOST_WEIGHTS_OF_ONE = 20_000_000


@contextmanager
def one_thread_if_small(weights: int) -> Iterator[None]:
    """Within it, PyTorch computes on one thread if work that reads this many weights is too small to share.

    Other threads of the process keep their number, also those that first compute meanwhile.
    """
    before = torch.get_num_threads()
    if before == 1 or weights > _MOST_WEIGHTS_OF_ONE:
        yield
        return
    set_threads = _set_threads_of_caller()
    set_threads(1)
    try:
        yield
    finally:
        set_threads(before)


@cache
def _set_threads_of_caller() -> Callable[[int], None]:
    """Return a function that sets the number for the calling thread only.

    `torch.set_num_threads` also sets what later threads begin with, so that one which starts meanwhile would
    compute on one thread for good. It serves only where the libraries below PyTorch cannot be reached.
    """
    try:
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
        set_openmp, set_mkl = library.omp_set_num_threads, library.MKL_Set_Num_Threads_Local
    except (OSError, AttributeError):
        return torch.set_num_threads

    def set_threads(number: int) -> None:
        set_openmp(number)
        set_mkl(number)

    return set_threads
