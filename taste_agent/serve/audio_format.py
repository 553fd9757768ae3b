"""The audio formats of the protocol, to and from the engine's samples."""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from taste_agent.audio.filters import StreamResampler
from taste_agent.audio.ports import Samples
from taste_agent.clock import ENGINE_RATE_HZ
from taste_agent.serve.errors import ProtocolError
from taste_agent.serve.g711 import G711, a_law, mu_law

FormatName = Literal["audio/pcm", "audio/pcmu", "audio/pcma"]
PCM_RATE_HZ, G711_RATE_HZ = 24000, 8000


@dataclass(frozen=True)
class Codec:
    """How samples become bytes; `bytes_per_sample` is 2 or 1."""

    rate_hz: int
    bytes_per_sample: int
    decode: Callable[[bytes], Samples]
    encode: Callable[[Samples], bytes]


@cache
def codec(name: FormatName) -> Codec:
    """The codec of a format."""
    if name == "audio/pcm":
        return Codec(PCM_RATE_HZ, 2, _decode_pcm16, _encode_pcm16)
    law: G711 = mu_law() if name == "audio/pcmu" else a_law()
    return Codec(G711_RATE_HZ, 1, law.decode, law.encode)


def bytes_of_base64(text: str, param: str) -> bytes:
    """What base64 text stands for.

    Raises:
        ProtocolError: it is not base64.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ProtocolError("invalid_value", f"{param} is not base64", param) from None


class AudioDecoder:
    """A client's stream of bytes as engine samples. A sample may be split between two calls."""

    def __init__(self, name: FormatName) -> None:
        self._codec = codec(name)
        self._resampler = StreamResampler(self._codec.rate_hz, ENGINE_RATE_HZ)
        self._rest = b""

    def feed(self, chunk: bytes) -> Samples:
        """(T,) samples at the engine's rate; the resampler's look-ahead comes with the next call."""
        chunk = self._rest + chunk
        whole = len(chunk) - len(chunk) % self._codec.bytes_per_sample
        chunk, self._rest = chunk[:whole], chunk[whole:]
        return self._resampler.feed(self._codec.decode(chunk)) if chunk else np.zeros(0, np.float32)

    def finish(self) -> Samples:
        """What the resampler still holds; the next call of `feed` begins anew."""
        self._rest = b""
        return self._resampler.finish()


class AudioEncoder:
    """Engine samples as a client's stream of bytes; counts what was made."""

    def __init__(self, name: FormatName) -> None:
        self._codec = codec(name)
        self._resampler = StreamResampler(ENGINE_RATE_HZ, self._codec.rate_hz)

    def feed(self, samples: Samples) -> bytes:
        """Bytes of (T,) samples."""
        return self._codec.encode(self._resampler.feed(samples))

    def finish(self) -> bytes:
        """The end of a reply's sound."""
        return self._codec.encode(self._resampler.finish())


def _decode_pcm16(chunk: bytes) -> Samples:
    return np.frombuffer(chunk, "<i2").astype(np.float32) / np.float32(32768)


def _encode_pcm16(samples: Samples) -> bytes:
    return np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2").tobytes()
