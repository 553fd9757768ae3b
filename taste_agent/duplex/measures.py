"""Measures of turn-taking, on words and intervals in seconds.

The first part computes those of Full-Duplex-Bench (Lin et al., 2025) as its own scripts do. The second part
asks, as eot-bench does, how soon the end of a turn can be told without cutting people off. A policy for that
has three numbers: the probability from which the agent is believed, the silence it waits for then
(`action_delay_s`), and the silence after which the turn is over in any case (`timeout_s`).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import mean, median

import numpy as np
from numpy.typing import NDArray

from taste_agent.session.transcript import TranscriptWord

Interval = tuple[float, float]
_QUIET = 10 ** (-50 / 20)
"""Root mean square level below which nobody hears speech: -50 dBFS."""
_SHORTEST_TURN_S, _MOST_WORDS = 1.0, 3
"""Speech that is shorter and has no more words is a backchannel, not a turn."""
PERSON_GAP_S, AGENT_GAP_S = 0.6, 0.5
"""Longest silence inside one interval of speech."""

THRESHOLDS = tuple(step / 20 for step in range(1, 20))
ACTION_DELAYS_S = tuple(step / 10 for step in range(2, 11))
TIMEOUTS_S = tuple(step / 5 for step in range(3, 16))


def takes_over(words: Sequence[TranscriptWord]) -> bool:
    """Return whether the words count as a turn: they last a second, or are more than three."""
    if not words:
        return False
    return words[-1].end_s - words[0].start_s >= _SHORTEST_TURN_S or len(words) > _MOST_WORDS


def latency_s(words: Sequence[TranscriptWord], turn_end_s: float) -> float | None:
    """Return the seconds from the end of a person's turn to the reply, at least 0; None without a turn."""
    return max(0.0, words[0].start_s - turn_end_s) if takes_over(words) else None


def after(words: Sequence[TranscriptWord], start_s: float) -> list[TranscriptWord]:
    """Return the words that are heard from `start_s` on."""
    return [TranscriptWord(w.text, max(w.start_s, start_s), w.end_s) for w in words if w.end_s > start_s]


def merged(intervals: Sequence[Interval], gap_s: float) -> list[Interval]:
    """Join intervals that are at most `gap_s` apart."""
    joined: list[Interval] = []
    for start, end in sorted(intervals):
        if joined and start - joined[-1][1] <= gap_s:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def stops_s(person: Sequence[Interval], agent: Sequence[Interval]) -> list[float]:
    """Return how long each overlap of merged intervals lasts; of those that end together, the shortest."""
    shortest: dict[int, float] = {}
    for p_start, p_end in person:
        for a_start, a_end in agent:
            start, end = max(p_start, a_start), min(p_end, a_end)
            if end > start:
                key = round(end * 1000)
                shortest[key] = min(shortest.get(key, end - start), end - start)
    return [shortest[key] for key in sorted(shortest)]


def responses_s(person: Sequence[Interval], agent: Sequence[Interval]) -> list[float]:
    """Return the seconds from the end of the person's speech to each start of the agent after it."""
    gaps: dict[float, float] = {}
    for _, end in sorted(person):
        start = next((start for start, _ in sorted(agent) if start > end), None)
        if start is not None:
            gaps[start] = start - end  # a later end of speech is nearer
    return [gaps[start] for start in sorted(gaps)]


def spans(samples: NDArray[np.int16], rate_hz: int) -> list[Interval]:
    """Return when the agent speaks: where its side (T,) is not quiet, in steps of 10 ms."""
    step = rate_hz // 100
    frames = samples[: len(samples) // step * step].reshape(-1, step).astype(np.float64) / 32768
    loud = np.sqrt(np.square(frames).mean(axis=1)) > _QUIET
    edges = np.flatnonzero(np.diff(loud.astype(int), prepend=0, append=0)) / 100
    return merged(list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)), AGENT_GAP_S)


@dataclass(frozen=True)
class Silence:
    """A silence in a person's turn or after it."""

    duration_s: float | None
    """Length of a pause; None at the end of the turn."""
    probability: float | None
    """The agent's probability that the turn is over; None if it had no time to compute one."""
    known_after_s: float = 0.0
    """How much of the silence has passed when the probability is known."""
    decided_after_s: float | None = None
    """When the agent itself took the turn for over; None if it did not."""


@dataclass(frozen=True)
class Policy:
    """When a turn counts as over; with `threshold` None, `timeout_s` alone decides."""

    threshold: float | None
    action_delay_s: float
    timeout_s: float

    def decides_after_s(self, silence: Silence) -> float:
        """Return the length of silence after which this policy ends the turn."""
        if self.threshold is None or silence.probability is None or silence.probability < self.threshold:
            return self.timeout_s
        return min(self.timeout_s, max(self.action_delay_s, silence.known_after_s))


@dataclass(frozen=True)
class Outcome:
    """The share of pauses in which a policy cuts people off, and its delays at the end of turns."""

    policy: Policy
    cut_off: float
    mean_s: float
    median_s: float


def outcome(policy: Policy, silences: Sequence[Silence]) -> Outcome:
    """Apply a policy to silences, at least one of which is a pause and one the end of a turn."""
    pauses = [s for s in silences if s.duration_s is not None]
    ends = [s for s in silences if s.duration_s is None]
    cut = [policy.decides_after_s(pause) < (pause.duration_s or 0.0) for pause in pauses]
    delays = [policy.decides_after_s(end) for end in ends]
    return Outcome(policy, mean(cut), mean(delays), median(delays))


def sweep(silences: Sequence[Silence], asks_agent: bool = True) -> list[Outcome]:
    """Return the outcomes of all policies.

    Args:
        silences: at least one pause and one end of a turn.
        asks_agent: whether the policies use the agent's probability, or silence alone.
    """
    if asks_agent:
        numbers = product(THRESHOLDS, ACTION_DELAYS_S, TIMEOUTS_S)
        policies = [Policy(*each) for each in numbers if each[1] <= each[2]]
    else:
        policies = [Policy(None, 0.0, timeout) for timeout in (*ACTION_DELAYS_S, *TIMEOUTS_S)]
    return [outcome(policy, silences) for policy in policies]


def best(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Return the outcomes that no other beats in both cut-offs and mean delay, the fastest first."""
    found: list[Outcome] = []
    for one in sorted(outcomes, key=lambda one: (one.mean_s, one.cut_off)):
        if not found or one.cut_off < found[-1].cut_off:
            found.append(one)
    return found


def cut_off_at(
    outcomes: Iterable[Outcome], mean_s: float = math.inf, median_s: float = math.inf
) -> float | None:
    """Return the smallest share of cut-offs with at most these delays; None if no policy is as fast."""
    shares = (o.cut_off for o in outcomes if o.mean_s <= mean_s + 1e-9 and o.median_s <= median_s + 1e-9)
    return min(shares, default=None)


def delay_at(outcomes: Iterable[Outcome], cut_off: float) -> float | None:
    """Return the smallest mean delay with at most this share of cut-offs; None if no policy has so few."""
    return min((one.mean_s for one in outcomes if one.cut_off <= cut_off + 1e-9), default=None)


def own_outcome(silences: Sequence[Silence]) -> tuple[float, float | None]:
    """Return the share of pauses in which the agent itself cut people off, and its median delay at ends."""
    cut = [s.decided_after_s is not None for s in silences if s.duration_s is not None]
    delays = [s.decided_after_s for s in silences if s.duration_s is None and s.decided_after_s is not None]
    return mean(cut), median(delays) if delays else None
