"""Times of a computation: warm, and with the device's work waited for."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

_WARM_UPS = 2


@dataclass(frozen=True, slots=True)
class Span:
    """How long something took, by the clock and in time of this process on the CPU (all threads).

    On a busy machine the clock also counts waiting for the CPU; the CPU time does not.
    """

    wall_ms: float = 0.0
    cpu_ms: float = 0.0

    def __add__(self, other: "Span") -> "Span":
        return Span(self.wall_ms + other.wall_ms, self.cpu_ms + other.cpu_ms)

    def divided(self, count: float) -> "Span":
        """The share of one of `count` equal parts."""
        return Span(self.wall_ms / count, self.cpu_ms / count)


@dataclass(frozen=True, slots=True)
class Times:
    """Durations of the repeats."""

    spans: tuple[Span, ...]

    @property
    def p50(self) -> float:
        """Median by the clock, ms."""
        return float(np.percentile([span.wall_ms for span in self.spans], 50))

    @property
    def p95(self) -> float:
        """95th percentile by the clock, ms."""
        return float(np.percentile([span.wall_ms for span in self.spans], 95))

    @property
    def best(self) -> float:
        """Shortest by the clock, ms; ratios are made of it, for others on the machine can only add."""
        return min(span.wall_ms for span in self.spans)

    @property
    def cpu_p50(self) -> float:
        """Median of the CPU time, ms."""
        return float(np.percentile([span.cpu_ms for span in self.spans], 50))

    def divided(self, count: int) -> "Times":
        """The share of one of `count` equal parts."""
        return Times(tuple(span.divided(count) for span in self.spans))


class Stopwatch:
    """Laps that end when the device has done what it was given."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._wall_s, self._cpu_s = time.perf_counter(), time.process_time()

    def lap(self) -> Span:
        """Time since the last lap."""
        wait_for(self._device)
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        span = Span(1000 * (wall_s - self._wall_s), 1000 * (cpu_s - self._cpu_s))
        self._wall_s, self._cpu_s = wall_s, cpu_s
        return span


def wait_for(device: torch.device) -> None:
    """Returns when the device has nothing left to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def measure(
    run: Callable[[], object],
    device: torch.device,
    repeats: int,
    before: Callable[[], object] = lambda: None,
    warm_ups: int = _WARM_UPS,
) -> Times:
    """Time `run`, without gradients.

    Args:
        run: what is timed.
        device: waited for before and after.
        repeats: timed runs.
        before: runs before each of them, and is not timed.
        warm_ups: runs that come first and are not timed.
    """
    watch, spans = Stopwatch(device), []
    with torch.inference_mode():
        for index in range(warm_ups + repeats):
            before()
            watch.lap()
            run()
            span = watch.lap()
            if index >= warm_ups:
                spans.append(span)
    return Times(tuple(spans))
