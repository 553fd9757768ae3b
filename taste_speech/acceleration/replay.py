"""A computation over buffers that stay where they are, recorded as a CUDA graph where there is CUDA."""

from collections.abc import Callable

import torch

_WARM_UPS = 2  # libraries choose their kernels and reserve memory in the first calls


class Replay:
    """Repeats `body`, which reads and writes tensors of fixed size and address and nothing else.

    On CUDA it is recorded once and replayed as one launch; elsewhere it is simply called. Recording runs it a
    few times: write what it reads afterwards.

    Args:
        body: must not allocate what outlives it, wait for the device, or branch on values.
        device: where its tensors are.
    """

    def __init__(self, body: Callable[[], None], device: torch.device) -> None:
        self._run: Callable[[], None] = body
        if device.type == "cuda":
            graph = _record(body, device)
            self._run = graph.replay

    def __call__(self) -> None:
        """Run it on what the buffers hold now."""
        self._run()


def _record(body: Callable[[], None], device: torch.device) -> "torch.cuda.CUDAGraph":
    with torch.cuda.device(device):
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UPS):
                body()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        # Other threads may use the device meanwhile: only this one's work is recorded.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            body()
    return graph
