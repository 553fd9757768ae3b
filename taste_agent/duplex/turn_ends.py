"""How soon a turn's end can be told without cutting people off: both sides of it, as in eot-bench.

Whoever ends turns waits for some silence. A policy has three numbers: the probability from which the model
is believed, the silence that must have passed by then (`action_delay_s`), and the silence after which the
turn is over in any case (`timeout_s`). Each gives a share of pauses at which people are cut off, and a delay
at ends.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import mean

THRESHOLDS = tuple(step / 20 for step in range(1, 20))
ACTION_DELAYS_S = tuple(step / 10 for step in range(2, 11))
TIMEOUTS_S = tuple(step / 5 for step in range(3, 16))


@dataclass(frozen=True)
class Silence:
    """A silence in or after a person's turn.

    Attributes:
        duration_s: of a pause; None at the end of the turn.
        probability: that it is over, as the model says; None where it had no time to say so.
    """

    duration_s: float | None
    probability: float | None


@dataclass(frozen=True)
class Policy:
    """When a turn is over; `threshold` None asks no model, and `timeout_s` alone decides."""

    threshold: float | None
    action_delay_s: float
    timeout_s: float

    def decides_after_s(self, silence: Silence) -> float:
        """Silence after which this policy ends the turn, were the silence long enough."""
        if self.threshold is None or silence.probability is None or silence.probability < self.threshold:
            return self.timeout_s
        return self.action_delay_s


@dataclass(frozen=True)
class Outcome:
    """What a policy gives: the share of pauses at which it cuts people off, and its mean delay at ends."""

    policy: Policy
    cut_off: float
    delay_s: float


def outcome(policy: Policy, silences: Sequence[Silence]) -> Outcome:
    """Return what a policy gives on silences, of which some are pauses and some are ends of turns."""
    pauses = [s for s in silences if s.duration_s is not None]
    ends = [s for s in silences if s.duration_s is None]
    cut = [policy.decides_after_s(pause) < (pause.duration_s or 0.0) for pause in pauses]
    return Outcome(policy, mean(cut), mean(policy.decides_after_s(end) for end in ends))


def sweep(silences: Sequence[Silence], asks_model: bool = True) -> list[Outcome]:
    """Return the outcomes of all policies that no other beats on both sides, the fastest first.

    Args:
        silences: with at least one pause and one end.
        asks_model: False gives those of silence alone.
    """
    timeouts = [Policy(None, 0.0, timeout) for timeout in (*ACTION_DELAYS_S, *TIMEOUTS_S)]
    believing = [
        Policy(threshold, delay, timeout)
        for threshold, delay, timeout in product(THRESHOLDS, ACTION_DELAYS_S, TIMEOUTS_S)
        if delay <= timeout
    ]
    every = [outcome(policy, silences) for policy in (believing if asks_model else timeouts)]
    return _best(every)


def cut_off_at(outcomes: Iterable[Outcome], delay_s: float) -> float | None:
    """Smallest share of turns cut off with at most this mean delay; None if no policy is as fast."""
    return min((one.cut_off for one in outcomes if one.delay_s <= delay_s + 1e-9), default=None)


def delay_at(outcomes: Iterable[Outcome], cut_off: float) -> float | None:
    """Smallest mean delay in seconds with at most this share of turns cut off; None if none cuts so few."""
    return min((one.delay_s for one in outcomes if one.cut_off <= cut_off + 1e-9), default=None)


def _best(outcomes: Iterable[Outcome]) -> list[Outcome]:
    best: list[Outcome] = []
    for one in sorted(outcomes, key=lambda one: (one.delay_s, one.cut_off)):
        if not best or one.cut_off < best[-1].cut_off:
            best.append(one)
    return best
