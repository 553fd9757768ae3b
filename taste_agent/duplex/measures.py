"""The measures of Full-Duplex-Bench (Lin et al., 2025), as its own scripts compute them.

All of them are of words and intervals in seconds. The scripts give the same figures of what `run` writes.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from taste_agent.session.transcript import TranscriptWord

Interval = tuple[float, float]
_QUIET = 10 ** (-50 / 20)
"""Root mean square level of what nobody hears as speech: -50 dBFS."""

SHORTEST_TURN_S, MOST_WORDS = 1.0, 3
"""What is shorter and has no more words is no turn, but a backchannel."""
PERSON_GAP_S, AGENT_GAP_S = 0.6, 0.5
"""Longest silence inside one interval of speech."""


def takes_over(words: Sequence[TranscriptWord]) -> bool:
    """Whether what was said counts as a turn: it lasts a second, or has more than three words."""
    if not words:
        return False
    return words[-1].end_s - words[0].start_s >= SHORTEST_TURN_S or len(words) > MOST_WORDS


def latency_s(words: Sequence[TranscriptWord], turn_end_s: float) -> float | None:
    """Seconds from the end of a person's turn to the reply, at least 0; None if no turn is taken."""
    return max(0.0, words[0].start_s - turn_end_s) if takes_over(words) else None


def after(words: Sequence[TranscriptWord], start_s: float) -> list[TranscriptWord]:
    """What is heard of the words if the sound is cut off before `start_s`."""
    return [TranscriptWord(w.text, max(w.start_s, start_s), w.end_s) for w in words if w.end_s > start_s]


def merged(intervals: Sequence[Interval], gap_s: float) -> list[Interval]:
    """Join intervals between which there is no more than `gap_s`."""
    joined: list[Interval] = []
    for start, end in sorted(intervals):
        if joined and start - joined[-1][1] <= gap_s:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def stops_s(person: Sequence[Interval], agent: Sequence[Interval]) -> list[float]:
    """How long both speak at once, each time; of those that end at the same millisecond the shortest.

    Args:
        person, agent: merged intervals of speech.
    """
    shortest: dict[int, float] = {}
    for p_start, p_end in person:
        for a_start, a_end in agent:
            start, end = max(p_start, a_start), min(p_end, a_end)
            if end > start:
                key = round(end * 1000)
                shortest[key] = min(shortest.get(key, end - start), end - start)
    return [shortest[key] for key in sorted(shortest)]


def responses_s(person: Sequence[Interval], agent: Sequence[Interval]) -> list[float]:
    """Seconds from each end of the person's speech to the agent's next start; one for each start."""
    gaps: dict[float, float] = {}
    for _, end in sorted(person):
        start = next((start for start, _ in sorted(agent) if start > end), None)
        if start is not None:
            gaps[start] = start - end  # a later end of speech is nearer
    return [gaps[start] for start in sorted(gaps)]


def spans(samples: NDArray[np.int16], rate_hz: int) -> list[Interval]:
    """When the agent speaks: where its side (T,) is not quiet, in steps of 10 ms."""
    step = rate_hz // 100
    frames = samples[: len(samples) // step * step].reshape(-1, step).astype(np.float64) / 32768
    loud = np.sqrt(np.square(frames).mean(axis=1)) > _QUIET
    edges = np.flatnonzero(np.diff(loud.astype(int), prepend=0, append=0)) / 100
    return merged(list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)), AGENT_GAP_S)
