"""Converts between the audio formats of the protocol and the engine's samples."""

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
