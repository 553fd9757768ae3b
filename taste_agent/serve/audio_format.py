"""Converts between the audio formats of the protocol (PCM and G.711) and the engine's samples."""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from taste_agent.audio.filters import StreamResampler
from taste_agent.audio.ports import Samples
from taste_agent.clock import ENGINE_RATE_HZ
from taste_agent.serve.errors import ProtocolError

FormatName = Literal["audio/pcm", "audio/pcmu", "audio/pcma"]
PCM_RATE_HZ, G711_RATE_HZ = 24000, 8000


@dataclass(frozen=True)
class Codec:
    """Converts between samples and bytes."""

    rate_hz: int
    bytes_per_sample: int
    decode: Callable[[bytes], Samples]
    encode: Callable[[Samples], bytes]


@cache
def codec(name: FormatName) -> Codec:
    """Return the codec of a format."""
    if name == "audio/pcm":
        return Codec(PCM_RATE_HZ, 2, _decode_pcm16, _encode_pcm16)
    law: G711 = mu_law() if name == "audio/pcmu" else a_law()
    return Codec(G711_RATE_HZ, 1, law.decode, law.encode)


def bytes_of_base64(text: str, param: str) -> bytes:
    """Decode base64 text.

    Raises:
        ProtocolError: the text is not base64.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ProtocolError("invalid_value", f"{param} is not base64", param) from None


class AudioDecoder:
    """Converts a client's stream of bytes to engine samples. A sample may be split between two calls."""

    def __init__(self, name: FormatName) -> None:
        self._codec = codec(name)
        self._resampler = StreamResampler(self._codec.rate_hz, ENGINE_RATE_HZ)
        self._rest = b""

    def feed(self, chunk: bytes) -> Samples:
        """Return (T,) samples at the engine's rate. The resampler holds some back for the next call."""
        chunk = self._rest + chunk
        whole = len(chunk) - len(chunk) % self._codec.bytes_per_sample
        chunk, self._rest = chunk[:whole], chunk[whole:]
        return self._resampler.feed(self._codec.decode(chunk)) if chunk else np.zeros(0, np.float32)

    def finish(self) -> Samples:
        """Return the samples that the resampler still holds, and start over."""
        self._rest = b""
        return self._resampler.finish()


class AudioEncoder:
    """Converts engine samples to a client's stream of bytes."""

    def __init__(self, name: FormatName) -> None:
        self._codec = codec(name)
        self._resampler = StreamResampler(ENGINE_RATE_HZ, self._codec.rate_hz)

    def feed(self, samples: Samples) -> bytes:
        """Return the bytes of (T,) samples."""
        return self._codec.encode(self._resampler.feed(samples))

    def finish(self) -> bytes:
        """Return the bytes that the resampler still holds at the end of a reply."""
        return self._codec.encode(self._resampler.finish())


def _decode_pcm16(chunk: bytes) -> Samples:
    return np.frombuffer(chunk, "<i2").astype(np.float32) / np.float32(32768)


def _encode_pcm16(samples: Samples) -> bytes:
    return np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2").tobytes()


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
