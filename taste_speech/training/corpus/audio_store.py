"""Many recordings in one raw file and one index, written once and read through memory mapping."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from taste_speech.errors import TasteError

AUDIO_NAME = "audio.int16"
INDEX_NAME = "index.jsonl"


@dataclass(frozen=True)
class Clip:
    """One line of the index. `offset` and `samples` count samples of the audio file, 16 kHz."""

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


class AudioStore(Sequence[Clip]):
    """Recordings under a folder: `audio.int16` (16 kHz mono) and `index.jsonl`.

    A line of the index is written after its samples, so a stopped run resumes at the last whole line.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._clips = list(self._read_index())
        self._ids = {clip.id for clip in self._clips}
        self._audio: np.ndarray | None = None

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

    def append(self, samples: np.ndarray, **fields: object) -> Clip:
        """Add one recording, (T,) int16; `fields` are those of `Clip` but for offset and samples.

        Errors: `ValueError` if the samples are not int16 or the id exists already.
        """
        if samples.dtype != np.int16 or samples.ndim != 1:
            raise ValueError(f"samples are {samples.dtype} of shape {samples.shape}; give one row of int16")
        clip = Clip(offset=self.n_samples, samples=len(samples), **fields)  # type: ignore[arg-type]
        if clip.id in self._ids:
            raise ValueError(f"clip {clip.id!r} is in {self.folder} already; choose another id")
        audio, index = self.folder / AUDIO_NAME, self.folder / INDEX_NAME
        mode = "r+b" if audio.exists() else "w+b"
        with audio.open(mode) as sound:  # truncating drops samples of a run stopped before their index line
            sound.truncate(2 * clip.offset)
            sound.seek(2 * clip.offset)
            sound.write(samples.astype("<i2").tobytes())
        line = json.dumps(asdict(clip)) + "\n"
        with index.open("a", encoding="utf-8") as lines:
            lines.write(line)
        self._clips.append(clip)
        self._ids.add(clip.id)
        return clip
