"""G.711 telephone speech with 8 bits per sample: mu-law and A-law, as defined by ITU-T G.711."""

import numpy as np
from numpy.typing import NDArray

from taste_agent.audio.ports import Samples

Codes = NDArray[np.uint8]


class G711:
    """A companding law, defined by the values of its 256 codes. Samples become the nearest value."""

    def __init__(self, values: NDArray[np.float64]) -> None:
        """Set the value of each code, on a 16-bit scale."""
        self._values = (values / 32768).astype(np.float32)
        self._order = np.argsort(values, kind="stable").astype(np.uint8)
        ascending = values[self._order] / 32768
        self._borders = (ascending[1:] + ascending[:-1]) / 2

    def decode(self, codes: bytes) -> Samples:
        """Return one sample for each code."""
        return self._values[np.frombuffer(codes, np.uint8)]

    def encode(self, samples: Samples) -> bytes:
        """Return one code for each sample. Samples beyond full scale become the largest value."""
        return self._order[np.searchsorted(self._borders, samples, side="right")].tobytes()


def _parts(codes: Codes) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the sign (+1 if the highest bit is set), segment and step of each code."""
    sign = np.where(codes & 0x80, 1.0, -1.0)
    return sign, ((codes >> 4) & 0x07).astype(np.float64), (codes & 0x0F).astype(np.float64)


def mu_law() -> G711:
    """Return mu-law, used in North America and Japan. All bits of its codes are inverted."""
    sign, segment, step = _parts(~np.arange(256, dtype=np.uint8))
    bias = 33.0
    return G711(-sign * 4 * ((2 * step + bias) * 2.0**segment - bias))


def a_law() -> G711:
    """Return A-law, used elsewhere. Every other bit of its codes is inverted."""
    sign, segment, step = _parts(np.arange(256, dtype=np.uint8) ^ np.uint8(0x55))
    linear = 2 * step + 1
    return G711(sign * 8 * np.where(segment == 0, linear, (linear + 32) * 2.0 ** (segment - 1)))
