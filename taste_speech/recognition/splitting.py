"""Cutting long audio where nobody speaks."""

import numpy as np
from numpy.typing import NDArray

_SEARCH_S = 5.0
_QUIET_S = 0.1


def split_at_quiet(
    audio: NDArray[np.float32], max_samples: int, sampling_rate_hz: int
) -> list[NDArray[np.float32]]:
    """Cut audio into parts of at most `max_samples`, each at a quiet moment of the part's last seconds."""
    parts = []
    quiet, search = int(_QUIET_S * sampling_rate_hz), int(_SEARCH_S * sampling_rate_hz)
    while audio.size > max_samples:
        first = max(max_samples - search, max_samples // 2)
        blocks = audio[first : first + (max_samples - first) // quiet * quiet].reshape(-1, quiet)
        cut = first + int(np.square(blocks).sum(axis=1).argmin()) * quiet + quiet // 2
        parts.append(audio[:cut])
        audio = audio[cut:]
    return [*parts, audio] if audio.size else parts
