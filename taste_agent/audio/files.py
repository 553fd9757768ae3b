"""A sound file as the person's voice: streamed, mixed to mono, brought to the engine's rate."""

from pathlib import Path

import numpy as np
import soundfile

from taste_agent.audio.ports import Samples
from taste_agent.audio.resampling import StreamResampler
from taste_agent.clock import ENGINE_RATE_HZ
from taste_agent.errors import AudioFileError

MIN_RATE_HZ, MAX_RATE_HZ = 4000, 384_000
_BLOCK_S = 0.1
_RIFF_HEADER_BYTES = 8


class FileSource:
    """Reads any file that libsndfile knows, block by block.

    Raises:
        AudioFileError: missing, a folder, not audio, empty, at an impossible rate; while reading: NaN or
            infinite samples, damaged data.
    """

    def __init__(self, path: Path, block_samples: int | None = None) -> None:
        self.path = path
        if not path.exists():
            raise AudioFileError(f"{path} does not exist; give the path of a wav, flac, ogg or mp3 file")
        if path.is_dir():
            raise AudioFileError(f"{path} is a folder; give the path of one sound file")
        if path.stat().st_size == 0:
            raise AudioFileError(f"{path} is empty (0 bytes); record it again")
        try:
            self._file = soundfile.SoundFile(path)
        except (soundfile.SoundFileError, RuntimeError, OSError, ValueError, TypeError) as error:
            raise AudioFileError(
                f"{path} cannot be read as sound ({_reason(error)}); convert it to wav or flac"
            ) from error
        self.rate_hz = int(self._file.samplerate)
        self.channels = int(self._file.channels)
        self.notices = self._notices()
        if not MIN_RATE_HZ <= self.rate_hz <= MAX_RATE_HZ:
            self._file.close()
            raise AudioFileError(
                f"{path} has {self.rate_hz} samples per second; {MIN_RATE_HZ} to {MAX_RATE_HZ} can be used"
            )
        if self._file.frames == 0:
            self._file.close()
            raise AudioFileError(f"{path} holds no samples (its header only); record it again")
        self._resampler = StreamResampler(self.rate_hz, ENGINE_RATE_HZ)
        self._block = block_samples or max(1, round(_BLOCK_S * self.rate_hz))
        self._frames_read = 0
        self._ended = False
        self.idle = False

    @property
    def duration_s(self) -> float:
        """Length as the header says."""
        return float(self._file.frames) / self.rate_hz

    @property
    def position_s(self) -> float:
        """How much has been read."""
        return self._frames_read / self.rate_hz

    def read(self) -> Samples | None:
        """The next mono samples at the engine's rate; None at the end."""
        if self._ended:
            return None
        try:
            block = self._file.read(self._block, dtype="float32", always_2d=True)  # (frames, channels)
        except (soundfile.SoundFileError, RuntimeError) as error:
            raise AudioFileError(
                f"{self.path} is damaged after {self.position_s:.2f} s ({_reason(error)}); "
                "convert or record it again"
            ) from error
        if len(block) == 0:
            self._ended = True
            return self._resampler.finish()
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            at_s = (self._frames_read + int(np.argmin(finite))) / self.rate_hz
            raise AudioFileError(
                f"{self.path} has NaN or infinite samples, first at {at_s:.3f} s; export it again as 16-bit"
            )
        self._frames_read += len(block)
        return self._resampler.feed(np.clip(block.mean(axis=1), -1.0, 1.0).astype(np.float32))

    def close(self) -> None:
        """Closes the file; safe to call twice."""
        self._file.close()
        self._resampler.finish()  # soxr complains of a filter that is left over at the program's end

    def _notices(self) -> list[str]:
        notices = []
        if self.channels > 1:
            notices.append(f"{self.path.name} has {self.channels} channels; they are mixed to one")
        missing = self._missing_bytes()
        if missing > 0:
            notices.append(
                f"{self.path.name} is truncated, {missing} bytes are missing; what is there is used"
            )
        return notices

    def _missing_bytes(self) -> int:
        """How much shorter a RIFF file is than its header says."""
        with self.path.open("rb") as file:
            header = file.read(_RIFF_HEADER_BYTES)
        if header[:4] != b"RIFF":
            return 0
        announced = int.from_bytes(header[4:8], "little")
        streamed = announced in (0, 0xFFFFFFFF)  # writers that cannot seek leave the length open
        return 0 if streamed else announced + _RIFF_HEADER_BYTES - self.path.stat().st_size


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text.rsplit("': ", 1)[-1].rstrip(".") or type(error).__name__
