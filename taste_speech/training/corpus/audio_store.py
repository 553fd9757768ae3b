"""Many recordings in one raw file with an index, written once and read through memory mapping."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import parselmouth
import soxr

from taste_speech.errors import TasteError
from taste_speech.training.config import complete_lines

AUDIO_NAME, PITCH_NAME, INDEX_NAME = "audio.int16", "f0.f16", "index.jsonl"
_PITCH_FLOOR_HZ, _PITCH_CEILING_HZ = 60.0, 400.0
_TYPES = {AUDIO_NAME: "<i2", PITCH_NAME: "<f2"}


def pitch_hz(audio: np.ndarray, rate_hz: int, centers_s: np.ndarray) -> np.ndarray:
    """Return F0 in Hz by Praat's autocorrelation method, (frames,), 0 where unvoiced.

    Args:
        audio: (samples,) float in [-1, 1].
        rate_hz: sampling rate of `audio`.
        centers_s: (frames,) center of each frame in seconds.
    """
    if len(audio) < 3 * rate_hz / _PITCH_FLOOR_HZ:
        return np.zeros(len(centers_s), np.float32)
    pitch = parselmouth.Sound(audio.astype(np.float64), rate_hz).to_pitch_ac(
        time_step=0.005, pitch_floor=_PITCH_FLOOR_HZ, pitch_ceiling=_PITCH_CEILING_HZ
    )
    track = pitch.selected_array["frequency"]
    index = np.rint((centers_s - pitch.t1) / pitch.dt).astype(int)
    inside = (index >= 0) & (index < len(track))
    values = np.zeros(len(centers_s), np.float32)
    values[inside] = track[index[inside]]
    return values


@dataclass(frozen=True)
class Timing:
    """When the words and phones of an utterance end, in seconds."""

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
    """Number of F0 values, evenly spaced over the clip; 0 if the voice does not report them."""
    f0_offset: int = 0
    word_ends: list[float] | None = None
    phones: list[tuple[str, float]] | None = None
    """As in `Timing`, if the voice reports it."""

    @property
    def timing(self) -> Timing:
        """When words and phones end.

        Raises:
            ValueError: the voice did not report it.
        """
        if self.word_ends is None or self.phones is None:
            raise ValueError(f"clip {self.id} of voice {self.voice} has no phone times")
        return Timing(self.word_ends, [(phone, end) for phone, end in self.phones])


class AudioStore(Sequence[Clip]):
    """Recordings in a folder: `audio.int16` (mono), `index.jsonl` and, if the voice reports F0, `f0.f16`.

    A line of the index is written after its samples, so a stopped run resumes after the last complete line.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._clips = list(self._read_index())
        self._ids = {clip.id for clip in self._clips}
        self._maps: dict[str, np.ndarray] = {}

    def _read_index(self) -> Iterator[Clip]:
        index = self.folder / INDEX_NAME
        for number, line in enumerate(complete_lines(index), 1):
            try:
                yield Clip(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise TasteError(
                    f"{index}, line {number}: {error}; delete the folder and run again"
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

    def samples(self, clip: Clip) -> np.ndarray:
        """Return the samples of one clip, (T,) int16, read-only."""
        return self._read(AUDIO_NAME, clip.offset, clip.samples)

    def samples_at(self, clip: Clip, rate_hz: int) -> np.ndarray:
        """Return the samples of one clip at another rate, (T,) float32 in [-1, 1]."""
        samples = self.samples(clip).astype(np.float32) / 32768
        return samples if clip.rate_hz == rate_hz else soxr.resample(samples, clip.rate_hz, rate_hz)

    def pitch_at(self, clip: Clip, centers_s: np.ndarray) -> np.ndarray:
        """Return F0 of one clip at the given times, (times,) float32 in Hz, 0 where unvoiced.

        The values are those that the voice reported or, if it did not, those that Praat finds in the sound.
        """
        if not clip.f0_values:
            return pitch_hz(self.samples(clip).astype(np.float32) / 32768, clip.rate_hz, centers_s)
        values_per_s = clip.f0_values * clip.rate_hz / clip.samples
        index = np.rint(centers_s * values_per_s).astype(int).clip(0, clip.f0_values - 1)
        return self._read(PITCH_NAME, clip.f0_offset, clip.f0_values)[index].astype(np.float32)

    def append(self, samples: np.ndarray, f0_hz: np.ndarray | None = None, **fields: object) -> Clip:
        """Add one recording, (T,) int16; `fields` are those of `Clip` except offsets and counts.

        Raises:
            ValueError: the samples are not int16, or the id exists already.
        """
        if samples.dtype != np.int16 or samples.ndim != 1:
            raise ValueError(f"samples are {samples.dtype} of shape {samples.shape}; give one row of int16")
        last = self._clips[-1] if self._clips else None
        clip = Clip(
            offset=last.offset + last.samples if last else 0,
            samples=len(samples),
            f0_offset=last.f0_offset + last.f0_values if last else 0,
            f0_values=0 if f0_hz is None else len(f0_hz),
            **fields,  # type: ignore[arg-type]
        )
        if clip.id in self._ids:
            raise ValueError(f"clip {clip.id!r} is already in {self.folder}; choose another id")
        self._write(AUDIO_NAME, clip.offset, samples)
        if f0_hz is not None:
            self._write(PITCH_NAME, clip.f0_offset, f0_hz)
        with (self.folder / INDEX_NAME).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(asdict(clip)) + "\n")
        self._clips.append(clip)
        self._ids.add(clip.id)
        return clip

    def _read(self, name: str, offset: int, count: int) -> np.ndarray:
        if name not in self._maps or len(self._maps[name]) < offset + count:
            self._maps[name] = np.memmap(self.folder / name, dtype=_TYPES[name], mode="r")
        return self._maps[name][offset : offset + count]

    def _write(self, name: str, offset: int, values: np.ndarray) -> None:
        """Write values behind those in the index, and so drop what a stopped run has left there."""
        path = self.folder / name
        with path.open("r+b" if path.exists() else "w+b") as file:
            file.truncate(2 * offset)
            file.seek(2 * offset)
            file.write(values.astype(_TYPES[name]).tobytes())
