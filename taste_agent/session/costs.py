"""What compute costs on the session's clock: measured, from a fixed table, or nothing."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from taste_agent.config import FixedCosts

CostKind = Literal["recognise_per_s", "recognise_end", "tokenize", "prefill", "word", "detokenize"]


@dataclass(slots=True)
class Reading:
    """Cost of one measured block; 0 until it ends."""

    ms: float = 0.0


class CostMeter:
    """Times the blocks of a step and adds them up for the runner."""

    def __init__(
        self, mode: Literal["measured", "fixed", "zero"] = "measured", table: FixedCosts | None = None
    ) -> None:
        self._mode = mode
        self._table = table or FixedCosts()
        self._total_ms = 0.0

    @contextmanager
    def measure(self, kind: CostKind, amount: float = 1.0) -> Iterator[Reading]:
        """Times what is inside; `amount` multiplies the table's figure (seconds of audio, words)."""
        reading = Reading()
        started_s = time.perf_counter()
        yield reading
        self.charge(reading, kind, amount, (time.perf_counter() - started_s) * 1000)

    def charge(self, reading: Reading, kind: CostKind, amount: float, measured_ms: float) -> None:
        """Adds a cost whose amount is known only afterwards."""
        if self._mode == "fixed":
            cost_ms = float(getattr(self._table, f"{kind}_ms")) * amount
        else:
            cost_ms = measured_ms if self._mode == "measured" else 0.0
        reading.ms += cost_ms
        self._total_ms += cost_ms

    def take_ms(self) -> float:
        """Cost since the last call."""
        total, self._total_ms = self._total_ms, 0.0
        return total
