"""A WAV file that is private, grows as samples come, and is valid at any moment."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from types import TracebackType

import numpy as np

from taste_agent.audio.ports import Samples
from taste_agent.errors import AudioFileError

HEADER_BYTES = 44
MAX_DATA_BYTES = 0xFFFFFFFF - HEADER_BYTES


class WavRecorder:
    """Writes 16-bit PCM. After every `write` the file on disk is complete: header and samples agree."""

    def __init__(self, path: Path, rate_hz: int, channels: int = 1) -> None:
        """Create `path`, readable for its owner only (mode 0600); an existing file is never overwritten.

        Raises:
            AudioFileError: the file exists or cannot be created.
        """
        self.path = path
        self._rate_hz = rate_hz
        self._channels = channels
        self._data_bytes = 0
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            self._file = os.fdopen(descriptor, "wb", buffering=0)
            self._file.write(self._header())
        except FileExistsError as error:
            raise AudioFileError(f"recording {path} exists already; move it or record elsewhere") from error
        except OSError as error:
            raise AudioFileError(
                f"cannot record to {path}: {error.strerror}; choose a writable folder with free space"
            ) from error

    def _header(self) -> bytes:
        frame_bytes = 2 * self._channels
        return b"".join(
            (
                b"RIFF",
                struct.pack("<I", HEADER_BYTES - 8 + self._data_bytes),
                b"WAVEfmt ",
                struct.pack(
                    "<IHHIIHH",
                    16,
                    1,
                    self._channels,
                    self._rate_hz,
                    self._rate_hz * frame_bytes,
                    frame_bytes,
                    16,
                ),
                b"data",
                struct.pack("<I", self._data_bytes),
            )
        )

    def write(self, *channels: Samples) -> None:
        """Append equally long (T,) blocks, one per channel.

        Raises:
            ValueError: the number of blocks is not the number of channels, or their lengths differ.
            AudioFileError: the disk is full or 4 GiB, the format's limit, are reached; the file stays valid.
        """
        if len(channels) != self._channels:
            raise ValueError(f"got {len(channels)} channels for a recording with {self._channels}")
        block = np.stack(channels, axis=1)  # (T, channels)
        pcm = np.clip(np.rint(block * 32767.0), -32768, 32767).astype("<i2").tobytes()
        if self._data_bytes + len(pcm) > MAX_DATA_BYTES:
            raise AudioFileError(f"recording {self.path} has reached 4 GiB, the most a WAV file can hold")
        try:
            self._file.seek(HEADER_BYTES + self._data_bytes)
            self._write_all(pcm)
            self._data_bytes += len(pcm)
            self._file.seek(0)
            self._write_all(self._header())
        except OSError as error:
            raise AudioFileError(
                f"recording {self.path} stopped: {error.strerror}; free some space"
            ) from error

    def _write_all(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._file.close()

    def __enter__(self) -> WavRecorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
