"""A WAV file that is private, grows as samples come in, and is valid at any moment."""

from __future__ import annotations

import os
import wave
from contextlib import suppress
from pathlib import Path

import numpy as np

from taste_agent.audio.ports import Samples
from taste_agent.errors import AudioFileError

HEADER_BYTES = 44
MAX_DATA_BYTES = 0xFFFFFFFF - HEADER_BYTES


class WavRecorder:
    """Writes 16-bit PCM. After every `write`, the header on disk agrees with the samples on disk."""

    def __init__(self, path: Path, rate_hz: int, channels: int = 1) -> None:
        """Create `path`, readable only by its owner (mode 0600); never overwrite an existing file.

        Raises:
            AudioFileError: the file exists or cannot be created.
        """
        self.path = path
        self._channels = channels
        try:
            self._file = os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")
            self._wave = wave.Wave_write(self._file)
            self._wave.setparams((channels, 2, rate_hz, 0, "NONE", ""))
            self._write_all(b"")
        except FileExistsError as error:
            raise AudioFileError(f"recording {path} exists already; move it or record elsewhere") from error
        except OSError as error:
            raise AudioFileError(
                f"cannot record to {path}: {error.strerror}; choose a writable folder with free space"
            ) from error

    def _write_all(self, pcm: bytes) -> None:
        self._wave.writeframes(pcm)  # and then the header
        self._file.flush()

    def write(self, *channels: Samples) -> None:
        """Append equally long (T,) blocks, one per channel.

        Raises:
            ValueError: the number of blocks is not the number of channels, or their lengths differ.
            AudioFileError: the disk is full or 4 GiB, the format's limit, are reached; the file stays valid.
        """
        if len(channels) != self._channels:
            raise ValueError(f"got {len(channels)} channels for a recording with {self._channels}")
        block = np.stack(channels, axis=1)  # (T, channels)
        pcm = np.clip(np.rint(block * 32767.0), -32768, 32767).astype(np.int16).tobytes()
        if 2 * self._channels * self._wave.tell() + len(pcm) > MAX_DATA_BYTES:
            raise AudioFileError(f"recording {self.path} has reached 4 GiB, the most a WAV file can hold")
        try:
            self._write_all(pcm)
        except OSError as error:
            raise AudioFileError(
                f"recording {self.path} stopped: {error.strerror}; free some space"
            ) from error

    def close(self) -> None:
        """Close the file; safe to call twice."""
        for file in (self._wave, self._file):
            with suppress(OSError):  # `write` has reported what could not be written
                file.close()

    def __enter__(self) -> WavRecorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
