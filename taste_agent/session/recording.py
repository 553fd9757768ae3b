"""A session on disk: private to its owner, and valid at any moment."""

from __future__ import annotations

import dataclasses
import itertools
import os
import wave
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from taste_agent.audio.ports import Samples
from taste_agent.clock import ENGINE_RATE_HZ
from taste_agent.errors import AudioFileError
from taste_agent.events import Event
from taste_agent.output_folder import owner_only
from taste_agent.session.transcript import Transcript
from taste_speech.words import Word

# fmt: off
SAMPLE_FIELDS = frozenset((
    "at", "first_sample", "last_sample", "cut_sample", "end_of_speech", "start", "end", "speech_first_sample",
))
# fmt: on
"""Fields of events that are positions in the input."""
_NEW_FILE = os.O_CREAT | os.O_EXCL | os.O_WRONLY
_HEADER_BYTES = 44
_MAX_DATA_BYTES = 0xFFFFFFFF - _HEADER_BYTES


def recording_folder(base: Path | None = None, now: datetime | None = None) -> Path:
    """Return a new folder name with the current time, in `base` or in the current folder."""
    folder = (base or Path()) / f"taste-agent-{now or datetime.now():%Y%m%d-%H%M%S}"
    paths = (folder.with_name(folder.name + suffix) for suffix in _suffixes())
    return next(path for path in paths if not path.exists())


def _suffixes() -> Iterator[str]:
    yield ""
    yield from (f"-{number}" for number in itertools.count(2))


def _free_suffix(folder: Path) -> str:
    return next(s for s in _suffixes() if not (folder / f"transcript{s}.txt").exists())


def write_private(path: Path, text: str) -> None:
    """Write `text` to `path`, readable only by its owner; replace an existing file atomically."""
    temporary = path.with_name(f".{path.name}.part")
    with open(temporary, "w", encoding="utf-8", opener=owner_only) as file:
        file.write(text)
    os.replace(temporary, path)


def write_transcript(transcript: Transcript, folder: Path, suffix: str = "") -> Path:
    """Write `transcript.txt` and `transcript.json`, private to the owner; return the path of the text."""
    path = folder / f"transcript{suffix}.txt"
    write_private(path, transcript.as_text())
    write_private(path.with_suffix(".json"), transcript.as_json())
    return path


@contextmanager
def _explained(task: str, remedy: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise AudioFileError(f"cannot {task}: {error.strerror}; {remedy}") from error


class TalkFolder:
    """The folder of a talk, made when the first file goes there; nothing in it is replaced."""

    def __init__(self, base: Path | None = None) -> None:
        """Put the folder into `base`, or into the current folder; nothing is made yet."""
        self._base = base
        self._saved: str | None = None
        self.path: Path | None = None

    def new_recording(self) -> SessionRecording:
        """Start a recording.

        Raises:
            AudioFileError: the folder or a file cannot be created.
        """
        folder = self.path or recording_folder(self._base)
        recording = SessionRecording(folder, _free_suffix(folder))
        self.path = folder
        return recording

    def save(self, transcript: Transcript) -> Path:
        """Write the transcript of the whole talk, replacing the one saved before.

        Raises:
            AudioFileError: the folder or a file cannot be written.
        """
        folder = self.path or recording_folder(self._base)
        suffix = _free_suffix(folder) if self._saved is None else self._saved
        with _explained(f"save to {folder}", "choose another folder with --out"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = write_transcript(transcript, folder, suffix)
        self.path, self._saved = folder, suffix
        return path


def counted_from(start: int, value: Any) -> Any:
    """Return an event or a word with its positions counted from `start`, at least 0."""
    changes: dict[str, Any] = {}
    for name in (field.name for field in dataclasses.fields(value)):
        item = getattr(value, name)
        if name in SAMPLE_FIELDS:
            changes[name] = max(0, item - start)
        elif name == "words":
            changes[name] = tuple(counted_from(start, w) if isinstance(w, Word) else w for w in item)
    return dataclasses.replace(value, **changes)


class Sides:
    """Collects the sound of the person and the agent, and aligns them.

    A session returns a frame for every completed frame, which is heard after it, so the agent's side begins
    with a frame of silence.
    """

    def __init__(self) -> None:
        self._person: list[Samples] = []
        self._agent: list[Samples] = []

    def begin(self, lead_samples: int) -> None:
        """Delay the agent's first sample by `lead_samples`."""
        self._agent.append(np.zeros(lead_samples, np.float32))

    def add(self, person: Samples, agent: Samples) -> None:
        """Append sound of the person, (T,), and of the agent, (T',)."""
        self._person.append(person)
        self._agent.append(agent)

    def take(self, everything: bool = False) -> tuple[Samples, Samples]:
        """Return both sides since the last call, equally long; the rest of the longer one is kept.

        With `everything` return all of the person's side, and pad the agent's with silence.
        """
        person, agent = (
            np.concatenate([np.zeros(0, np.float32), *side]) for side in (self._person, self._agent)
        )
        if everything:
            agent = np.pad(agent, (0, max(0, len(person) - len(agent))))[: len(person)]
        count = min(len(person), len(agent))
        self._person, self._agent = [person[count:]], [agent[count:]]
        return person[:count], agent[:count]


class WavRecorder:
    """A WAV file of 16-bit PCM, whose header is valid after every `write`."""

    def __init__(self, path: Path, rate_hz: int, channels: int = 1) -> None:
        """Create `path`, readable only by its owner (mode 0600).

        Raises:
            AudioFileError: the file exists or cannot be created.
        """
        self.path = path
        self._channels = channels
        try:
            self._file = os.fdopen(os.open(path, _NEW_FILE, 0o600), "wb")
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
        self._wave.writeframes(pcm)  # also updates the header
        self._file.flush()

    def write(self, *channels: Samples) -> None:
        """Append equally long (T,) blocks, one per channel.

        Raises:
            ValueError: the number of blocks is not the number of channels, or their lengths differ.
            AudioFileError: the disk is full, or the file would exceed the format's limit of 4 GiB.
        """
        if len(channels) != self._channels:
            raise ValueError(f"got {len(channels)} channels for a recording with {self._channels}")
        block = np.stack(channels, axis=1)  # (T, channels)
        pcm = np.clip(np.rint(block * 32767.0), -32768, 32767).astype(np.int16).tobytes()
        if 2 * self._channels * self._wave.tell() + len(pcm) > _MAX_DATA_BYTES:
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
            with suppress(OSError):  # `write` has reported the error
                file.close()

    def __enter__(self) -> WavRecorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class SessionRecording:
    """Records a session; all times count from the start of the recording.

    `person.wav` is the microphone after echo cancellation. `session.wav` has it on the left and the agent, as
    passed to the loudspeaker, on the right. `events.jsonl` and the transcripts tell what happened. `take`,
    `write` and `close` raise `AudioFileError` if the disk is full.
    """

    def __init__(self, folder: Path, suffix: str = "") -> None:
        """Create `folder` (mode 0700) and the files (mode 0600) with `suffix` in their names.

        Raises:
            AudioFileError: the folder or a file cannot be created.
        """
        self.folder = folder
        self._suffix = suffix
        self._start = 0
        self._transcript = Transcript()
        self._sides = Sides()
        with self._explained():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            log = os.open(folder / f"events{suffix}.jsonl", _NEW_FILE, 0o600)
            self._log: TextIO = os.fdopen(log, "w", encoding="utf-8", buffering=1)
            self.save()
        self._person = WavRecorder(folder / f"person{suffix}.wav", ENGINE_RATE_HZ)
        self._both = WavRecorder(folder / f"session{suffix}.wav", ENGINE_RATE_HZ, channels=2)

    def take(self, event: Event) -> None:
        """Log `event`, and save the transcript after each turn."""
        event = counted_from(self._start, event)
        with self._explained():
            self._log.write(event.to_json() + "\n")
            self._transcript.take(event)
            if event.kind in ("reply_finished", "reply_cancelled", "session_ended"):
                self.save()

    def begin(self, start: int, lead_samples: int) -> None:
        """Count times from input sample `start`; the agent's next sample is heard `lead_samples` later."""
        self._start = start
        self._sides.begin(lead_samples)

    def write(self, person: Samples, agent: Samples) -> None:
        """Append sound of the person, (T,), and of the agent, (T',); their lengths may differ."""
        self._person.write(person)
        self._sides.add(person, agent)
        self._both.write(*self._sides.take())

    def save(self) -> Path:
        """Write the current transcript; return its path."""
        return write_transcript(self._transcript, self.folder, self._suffix)

    def close(self) -> None:
        """Complete all files as far as possible; safe to call twice."""
        if self._log.closed:
            return
        with self._explained(), ExitStack() as files:
            for file in (self._both, self._person, self._log):
                files.callback(file.close)
            self.save()
            self._both.write(*self._sides.take(everything=True))

    def _explained(self) -> AbstractContextManager[None]:
        return _explained(f"record to {self.folder}", "free some space or choose another --out")
