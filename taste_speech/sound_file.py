"""Sound files as they occur in practice (piped, never closed, stereo, too loud, too quiet), read as mono."""

import os
import shutil
import stat
import struct
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import soundfile
from numpy.typing import NDArray

from taste_speech.errors import AudioError

Samples = NDArray[np.float32]

MIN_RATE_HZ, MAX_RATE_HZ = 4000, 384_000
"""Possible sampling rates of a recording of speech."""
STDIN = Path("-")
MAX_FLOAT_PEAK = 64.0
"""Float samples above this are integers that were written as floats."""
_INTEGER_SCALES = (2.0**15, 2.0**23, 2.0**31)
_OPEN_LENGTH = 0x7FFF0000
"""Sizes from here on mean that the length was unknown when the file was written."""
_SCAN_S, _FRAME_S = 1.0, 0.02
_DEAD, _CANCELLED = 1e-3, 0.1
"""Minimum power of a channel relative to the loudest one, and of the mix relative to its channels."""
_SPEECH_S = 0.5
_QUIET_DBFS, _RAISED_DBFS, _ABOVE_NOISE_DB = -40.0, -25.0, 20.0
_MIN_OFFSET = 0.005


class _Forward(soundfile.SoundFile):
    """Reads forward only: libsndfile cannot seek to the end of a stream of unknown length."""

    def seekable(self) -> bool:
        """Return False to prevent seeking."""
        return False


class SoundFile:
    """A sound file of any format that libsndfile supports, scanned once and then readable repeatedly.

    Common faults are repaired and reported in `notices`: missing sizes in the header, channels that are
    silent or cancel each other, integers written as floats, a constant offset, and speech that is far too
    quiet but louder than the noise.

    Args:
        path: a file, a pipe such as `/dev/stdin`, or `-` for stdin; pipes are copied to a temporary file.

    Attributes:
        name: name for messages.
        rate_hz, channels: sampling rate and number of channels of the file.
        duration_s: duration of the actual samples, regardless of the header.
        loudest_dbfs: level of the loudest half second, before it is amplified.
        notices: messages for the user, one line each.

    Raises:
        AudioError: the file is missing, empty, damaged or not sound, has NaN or infinite samples, or its
            sampling rate is impossible.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.name = "stdin" if self.path == STDIN else self.path.name
        self.notices: list[str] = []
        self._copy: IO[bytes] | None = None
        self._check_kind()
        self._repair_sizes()
        with self._opened() as file:
            self.rate_hz, self.channels = int(file.samplerate), int(file.channels)
            self._prints = file.format in ("MP3", "MPEG")
            if not MIN_RATE_HZ <= self.rate_hz <= MAX_RATE_HZ:
                raise AudioError(
                    f"{self.path} has {self.rate_hz} samples per second; "
                    f"{MIN_RATE_HZ} to {MAX_RATE_HZ} can be used"
                )
            self._scan(file)

    def blocks(self, block_samples: int | None = None) -> Iterator[Samples]:
        """Yield mono samples in [-1, 1] at the file's rate, in blocks (default: 0.1 s)."""
        size = block_samples or max(1, self.rate_hz // 10)
        with self._opened() as file:
            for block in self._read(file, size):
                yield ((block @ self._weights - self._offset) * self._gain).astype(np.float32)

    def samples(self) -> Samples:
        """Return all mono samples (samples,)."""
        return np.concatenate(list(self.blocks(self.rate_hz)))

    def _check_kind(self) -> None:
        try:
            mode = None if self.path == STDIN else self.path.stat().st_mode
        except OSError:
            raise AudioError(
                f"{self.path} does not exist; give the path of a wav, flac, ogg or mp3 file"
            ) from None
        if mode is None:
            if sys.stdin is None or sys.stdin.isatty():
                raise AudioError("- stands for a sound file on stdin; pipe one into the command")
            self._copy = _copied(sys.stdin.buffer)
        elif stat.S_ISDIR(mode):
            raise AudioError(f"{self.path} is a folder; give the path of one sound file")
        elif stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            with self.path.open("rb") as pipe:
                self._copy = _copied(pipe)
        elif not stat.S_ISREG(mode):
            raise AudioError(f"{self.path} is a device; give the path of one sound file")

    @contextmanager
    def _bytes(self) -> Iterator[IO[bytes]]:
        if self._copy is not None:
            self._copy.seek(0)
            yield self._copy
            return
        try:
            file = self.path.open("rb")
        except OSError as error:
            raise AudioError(f"{self.path} cannot be read: {error.strerror}") from error
        with file:
            yield file

    def _repair_sizes(self) -> None:
        """Correct the sizes in a wav file's header, because libsndfile relies on them."""
        with self._bytes() as file:
            total = file.seek(0, os.SEEK_END)
            if total == 0:
                raise AudioError(f"{self.path} is empty (0 bytes); record it again")
            file.seek(0)
            head = file.read(12)
            if head[:4] != b"RIFF" or head[8:] not in (b"WAVE", b""):
                return
            found = next((chunk for chunk in _chunks(file, 12, total) if chunk[0] == b"data"), None)
            if found is None:
                raise AudioError(f"{self.path} is a damaged wav file (it has no sound data); record it again")
            _, begin, stated = found
            rest = total - begin
            if stated == 0 and rest > 0 and not _ends_with_chunks(file, begin, total):
                self._copy = file if file is self._copy else _copied(file)
                for position, size in ((4, total - 8), (begin - 4, rest)):
                    self._copy.seek(position)
                    self._copy.write(struct.pack("<I", min(size, 0xFFFFFFFF)))
                self.notices.append(f"{self.name} was never closed by its recorder; it is read to its end")
            elif rest < stated < _OPEN_LENGTH:
                self.notices.append(
                    f"{self.name} is truncated, {stated - rest} bytes are missing; the rest is used"
                )

    @contextmanager
    def _opened(self) -> Iterator[_Forward]:
        with self._bytes() as content:
            try:
                with _native_stderr_closed():
                    file = _Forward(content)
            except (soundfile.SoundFileError, RuntimeError, OSError, ValueError, TypeError) as error:
                raise AudioError(
                    f"{self.path} is not a sound file that can be read here; convert it to wav "
                    "(raw samples: sox -t raw -r 16000 -e signed -b 16 -c 1 IN OUT.wav)"
                ) from error
            with file:
                yield file

    def _read(self, file: _Forward, size: int) -> Iterator[NDArray[np.float32]]:
        """Yield blocks of (frames, channels)."""
        position = 0
        while True:
            try:
                with _native_stderr_closed(self._prints):
                    block = file.read(size, dtype="float32", always_2d=True)
            except (soundfile.SoundFileError, RuntimeError) as error:
                raise AudioError(
                    f"{self.path} is damaged after {position / self.rate_hz:.2f} s; "
                    "convert or record it again"
                ) from error
            if not len(block):
                return
            position += len(block)
            yield block

    def _scan(self, file: _Forward) -> None:
        """Read the file once to decide how to mix its channels and adjust its level."""
        frames, peak = 0, 0.0
        sums = np.zeros(self.channels)
        products = np.zeros((self.channels, self.channels))
        frame_size = max(1, round(_FRAME_S * self.rate_hz))
        powers: list[NDArray[np.float32]] = []  # of the loudest channel, per 20 ms, without its offset
        for block in self._read(file, max(1, round(_SCAN_S * self.rate_hz))):
            finite = np.isfinite(block).all(axis=1)
            if not finite.all():
                at_s = (frames + int(np.argmin(finite))) / self.rate_hz
                raise AudioError(
                    f"{self.path} has NaN or infinite samples, first at {at_s:.3f} s; export it again "
                    "as 16-bit"
                )
            frames += len(block)
            peak = max(peak, float(np.abs(block).max()))
            sums += block.sum(axis=0, dtype=np.float64)
            products += block.T.astype(np.float64) @ block
            size = min(frame_size, len(block))
            parts = block[: len(block) // size * size].reshape(-1, size, self.channels)
            powers.append(parts.var(axis=1).max(axis=1))
        if not frames:
            raise AudioError(f"{self.path} holds no samples (only a header); record it again")
        self.duration_s = frames / self.rate_hz
        means = sums / frames
        self._weights = self._chosen_channels(products / frames - np.outer(means, means))
        self._offset = self._offset_of(float(means @ self._weights), peak)
        self._gain = self._gain_of(peak, np.concatenate(powers))

    def _chosen_channels(self, covariance: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return weights (channels,) that average the channels with sound, or select the loudest one."""
        powers = np.diag(covariance)
        live = powers > _DEAD * powers.max()
        if not live.any():  # digital silence
            live = np.ones(self.channels, bool)
        weights = live / live.sum()
        if self.channels == 1:
            return weights.astype(np.float32)
        change = "they are mixed to one"
        if weights @ covariance @ weights < _CANCELLED * powers[live].mean():
            weights = np.eye(self.channels)[int(np.argmax(powers))]
            change = "they cancel each other, so only the loudest is used"
        elif not live.all():
            silent = self.channels - int(live.sum())
            change = f"{silent} of them {'is' if silent == 1 else 'are'} silent and left out"
        self.notices.append(f"{self.name} has {self.channels} channels; {change}")
        return weights.astype(np.float32)

    def _offset_of(self, mean: float, peak: float) -> float:
        if abs(mean) < _MIN_OFFSET * max(1.0, peak):
            return 0.0
        self.notices.append(f"{self.name} has a constant offset of {mean:.2g}, which is removed")
        return mean

    def _gain_of(self, peak: float, powers: NDArray[np.float32]) -> float:
        """Return a gain that lowers levels above full scale and raises quiet speech."""
        gain = 1.0
        if peak > MAX_FLOAT_PEAK:
            gain = 1 / next((scale for scale in _INTEGER_SCALES if peak <= scale), peak)
            self.notices.append(
                f"{self.name} holds integers as floats, up to {peak:.0f}; they are divided by {1 / gain:.0f}"
            )
        elif peak > 1.0:
            gain = 1 / peak
            if peak > 1.5:  # mp3 and ogg decoders overshoot a little
                self.notices.append(
                    f"{self.name} reaches {peak:.2f}, above full scale (1); it is attenuated to 1"
                )
        levels = np.sort(10 * np.log10(powers[powers > 0] * gain**2 + 1e-15))
        if not levels.size:
            self.loudest_dbfs = -100.0
            return gain
        self.loudest_dbfs = float(levels[-min(round(_SPEECH_S / _FRAME_S), len(levels) // 10 + 1)])
        noise_dbfs = levels[len(levels) // 10]
        if self.loudest_dbfs < _QUIET_DBFS and self.loudest_dbfs - noise_dbfs > _ABOVE_NOISE_DB:
            raised_db = _RAISED_DBFS - self.loudest_dbfs
            gain *= 10 ** (raised_db / 20)
            self.notices.append(
                f"{self.name} is very quiet, {self.loudest_dbfs:.0f} dBFS at its loudest; "
                f"it is amplified by {raised_db:.0f} dB"
            )
        return float(gain)


def _copied(source: IO[bytes]) -> IO[bytes]:
    """Return a temporary copy that can be read repeatedly and written."""
    if source.seekable():
        source.seek(0)
    copy = tempfile.TemporaryFile()  # noqa: SIM115
    shutil.copyfileobj(source, copy)
    return copy


def _chunks(file: IO[bytes], position: int, total: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, content position and stated size of the RIFF chunks from `position` on."""
    while position < total:
        file.seek(position)
        name, size = file.read(4), file.read(4)
        if len(size) < 4:
            return
        length = int.from_bytes(size, "little")
        yield name, position + 8, length
        position += 8 + length + length % 2


def _ends_with_chunks(file: IO[bytes], position: int, total: int) -> bool:
    """Return whether only RIFF chunks, and thus no sound, follow `position` up to the end of the file."""
    for name, start, length in _chunks(file, position, total):
        if not name.isascii() or not name.decode().isprintable():
            return False
        position = start + length + length % 2
    return position in (total, total + 1)


@contextmanager
def _native_stderr_closed(wanted: bool = True) -> Iterator[None]:
    """Prevent decoders from writing to stderr while a block is read."""
    if not wanted:
        yield
        return
    try:
        saved = os.dup(2)
    except OSError:  # stderr is closed already
        yield
        return
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
