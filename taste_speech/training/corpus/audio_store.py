"""Many recordings in one raw file and one index, written once and read through memory mapping."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soxr

from taste_speech.errors import TasteError
from taste_speech.training.corpus.pitch import pitch_hz

AUDIO_NAME = "audio.int16"
PITCH_NAME = "f0.f16"
INDEX_NAME = "index.jsonl"


@dataclass(frozen=True)
class Timing:
    """When words and phones of an utterance end, in seconds."""

    word_ends: list[float]
    phones: list[tuple[str, float]]
    """Pauses included."""


@dataclass(frozen=True)
class Clip:
    """One line of the index. `offset` and `samples` count samples of the audio file."""

    id: str
    split: str
    text: str
    voice: str
    rate: float
    pitch: float
    slope: float
    emphasis: int | None
    offset: int
    samples: int
    change_word: int | None = None
    change_rate: float = 1.0
    rate_hz: int = 16_000
    f0_values: int = 0
    """Of the pitch, evenly spaced over the clip; 0 where the voice does not tell it."""
    f0_offset: int = 0
    word_ends: list[float] | None = None
    phones: list[tuple[str, float]] | None = None
    """As in `phones.Timing`, where the voice tells it."""

    @property
    def timing(self) -> Timing:
        """When words and phones end.

        Raises:
            ValueError: if the voice did not tell.
        """
        if self.word_ends is None or self.phones is None:
            raise ValueError(f"clip {self.id} of voice {self.voice} has no times of its phones")
        return Timing(self.word_ends, [(phone, end) for phone, end in self.phones])


class AudioStore(Sequence[Clip]):
    """Recordings under a folder: `audio.int16` (mono), `index.jsonl` and, of voices that tell it, `f0.f16`.

    A line of the index is written after its samples, so a stopped run resumes at the last whole line.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._clips = list(self._read_index())
        self._ids = {clip.id for clip in self._clips}
        self._audio: np.ndarray | None = None
        self._f0: np.ndarray | None = None

    def _read_index(self) -> Iterator[Clip]:
        index = self.folder / INDEX_NAME
        if not index.exists():
            return
        lines = index.read_text(encoding="utf-8").splitlines(keepends=True)
        for number, line in enumerate(lines, 1):
            if not line.endswith("\n"):  # the writer was stopped inside the last line
                with index.open("r+b") as torn:
                    torn.truncate(index.stat().st_size - len(line.encode()))
                return
            try:
                yield Clip(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise TasteError(
                    f"{index}, line {number}: {error}; delete the folder and make it anew"
                ) from error

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]  # int or slice, as in Sequence
        return self._clips[index]

    def __contains__(self, clip_id: object) -> bool:
        return clip_id in self._ids

    def of_split(self, split: str) -> list[Clip]:
        """Return the clips of `train`, `valid` or `test`."""
        return [clip for clip in self._clips if clip.split == split]

    @property
    def n_samples(self) -> int:
        """Number of samples that the index knows of."""
        return self._clips[-1].offset + self._clips[-1].samples if self._clips else 0

    def samples(self, clip: Clip) -> np.ndarray:
        """Return the samples of one clip, (T,) int16, read-only."""
        if self._audio is None or len(self._audio) < clip.offset + clip.samples:
            self._audio = np.memmap(self.folder / AUDIO_NAME, dtype="<i2", mode="r")
        return self._audio[clip.offset : clip.offset + clip.samples]

    def samples_at(self, clip: Clip, rate_hz: int) -> np.ndarray:
        """Return the samples of one clip at another rate, (T,) float32 in [-1, 1]."""
        samples = self.samples(clip).astype(np.float32) / 32768
        return samples if clip.rate_hz == rate_hz else soxr.resample(samples, clip.rate_hz, rate_hz)

    def f0_hz(self, clip: Clip) -> np.ndarray:
        """Return the pitch of one clip, (f0_values,) float32 in Hz, 0 where unvoiced."""
        if self._f0 is None or len(self._f0) < clip.f0_offset + clip.f0_values:
            self._f0 = np.memmap(self.folder / PITCH_NAME, dtype="<f2", mode="r")
        return self._f0[clip.f0_offset : clip.f0_offset + clip.f0_values].astype(np.float32)

    def pitch_at(self, clip: Clip, centers_s: np.ndarray) -> np.ndarray:
        """Return the pitch of one clip at some times, (times,) float32 in Hz, 0 where unvoiced.

        It is what the voice told, or where it did not what Praat finds in the sound.
        """
        if not clip.f0_values:
            return pitch_hz(self.samples(clip).astype(np.float32) / 32768, clip.rate_hz, centers_s)
        values_per_s = clip.f0_values * clip.rate_hz / clip.samples
        index = np.rint(centers_s * values_per_s).astype(int).clip(0, clip.f0_values - 1)
        return self.f0_hz(clip)[index]

    def append(self, samples: np.ndarray, f0_hz: np.ndarray | None = None, **fields: object) -> Clip:
        """Add one recording, (T,) int16; `fields` are those of `Clip` but for offsets and counts.

        Raises:
            ValueError: the samples are not int16, or the id exists already.
        """
        if samples.dtype != np.int16 or samples.ndim != 1:
            raise ValueError(f"samples are {samples.dtype} of shape {samples.shape}; give one row of int16")
        last = self._clips[-1] if self._clips else None
        clip = Clip(
            offset=self.n_samples,
            samples=len(samples),
            f0_offset=last.f0_offset + last.f0_values if last else 0,
            f0_values=0 if f0_hz is None else len(f0_hz),
            **fields,  # type: ignore[arg-type]
        )
        if clip.id in self._ids:
            raise ValueError(f"clip {clip.id!r} is in {self.folder} already; choose another id")
        self._write(AUDIO_NAME, clip.offset, samples.astype("<i2"))
        if f0_hz is not None:
            self._write(PITCH_NAME, clip.f0_offset, f0_hz.astype("<f2"))
        index = self.folder / INDEX_NAME
        line = json.dumps(asdict(clip)) + "\n"
        with index.open("a", encoding="utf-8") as lines:
            lines.write(line)
        self._clips.append(clip)
        self._ids.add(clip.id)
        return clip

    def _write(self, name: str, offset: int, values: np.ndarray) -> None:
        """Write two-byte values behind what the index knows of: truncating drops those of a stopped run."""
        path = self.folder / name
        with path.open("r+b" if path.exists() else "w+b") as file:
            file.truncate(2 * offset)
            file.seek(2 * offset)
            file.write(values.tobytes())
