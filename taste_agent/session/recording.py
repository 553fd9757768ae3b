"""A session on disk, private to its owner and complete at any moment."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from taste_agent.audio.ports import Samples
from taste_agent.audio.recording import WavRecorder
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
"""The fields of events that are positions in the input."""


def recording_folder(base: Path | None = None, now: datetime | None = None) -> Path:
    """A folder that does not exist yet, named after the second: in `base`, or in the current folder."""
    folder = (base or Path()) / f"taste-agent-{now or datetime.now():%Y%m%d-%H%M%S}"
    paths = (folder.with_name(folder.name + suffix) for suffix in _suffixes())
    return next(path for path in paths if not path.exists())


def _suffixes() -> Iterator[str]:
    """Endings of names that shall differ: nothing for the first, then a number."""
    yield ""
    yield from (f"-{number}" for number in itertools.count(2))


def _free_suffix(folder: Path) -> str:
    """What sets the next set of files in `folder` apart."""
    return next(s for s in _suffixes() if not (folder / f"transcript{s}.txt").exists())


def write_private(path: Path, text: str) -> None:
    """Write `text` to `path` so that only its owner can read it; replaces what was there at once."""
    temporary = path.with_name(f".{path.name}.part")
    with open(temporary, "w", encoding="utf-8", opener=owner_only) as file:
        file.write(text)
    os.replace(temporary, path)


def write_transcript(transcript: Transcript, folder: Path, suffix: str = "") -> Path:
    """Write `transcript.txt` and `transcript.json`, private to the owner; returns the path of the text."""
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
    """The one folder of a talk. It is made when the first thing goes there, and nothing in it is replaced."""

    def __init__(self, base: Path | None = None) -> None:
        """Make nothing yet; the folder will be in `base`, or in the current folder."""
        self._base = base
        self._saved: str | None = None
        self.path: Path | None = None

    def new_recording(self) -> SessionRecording:
        """Begin a recording.

        Raises:
            AudioFileError: the folder or a file cannot be made.
        """
        folder = self.path or recording_folder(self._base)
        recording = SessionRecording(folder, _free_suffix(folder))
        self.path = folder
        return recording

    def save(self, transcript: Transcript) -> Path:
        """Write the whole talk, with its own times; again replaces what was saved before.

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
    """Return `value`, an event or a word, with positions counted from `start`, none before it."""
    changes: dict[str, Any] = {}
    for name in (field.name for field in dataclasses.fields(value)):
        item = getattr(value, name)
        if name in SAMPLE_FIELDS:
            changes[name] = max(0, item - start)
        elif name == "words":
            changes[name] = tuple(counted_from(start, w) if isinstance(w, Word) else w for w in item)
    return dataclasses.replace(value, **changes)


class Sides:
    """Collects the person's sound and the agent's as they come, and gives back what is known of both.

    A session returns a frame for every frame it completed, and that one sounds after it: the agent's side
    begins with a frame of silence.
    """

    def __init__(self) -> None:
        self._person: list[Samples] = []
        self._agent: list[Samples] = []

    def begin(self, lead_samples: int) -> None:
        """The agent's first sample sounds `lead_samples` after the person's."""
        self._agent.append(np.zeros(lead_samples, np.float32))

    def add(self, person: Samples, agent: Samples) -> None:
        """Take what was heard, (T,), and what was said meanwhile, (T',)."""
        self._person.append(person)
        self._agent.append(agent)

    def take(self, everything: bool = False) -> tuple[Samples, Samples]:
        """Both sides since the last call, equally long; the rest of the longer one waits.

        With `everything` all of the person's, and silence where the agent's is not known.
        """
        person, agent = (
            np.concatenate([np.zeros(0, np.float32), *side]) for side in (self._person, self._agent)
        )
        if everything:
            agent = np.pad(agent, (0, max(0, len(person) - len(agent))))[: len(person)]
        count = min(len(person), len(agent))
        self._person, self._agent = [person[count:]], [agent[count:]]
        return person[:count], agent[:count]


class SessionRecording:
    """Writes what was heard and said from now on; all times count from its beginning.

    `person.wav` is the microphone after echo cancellation, `session.wav` has it on the left and the agent
    on the right, as it was handed to the loudspeaker (whose latency is not in it); `events.jsonl` and the
    transcripts tell what happened. `take`, `write` and `close` raise `AudioFileError` where the disk is full.
    """

    def __init__(self, folder: Path, suffix: str = "") -> None:
        """Make `folder` (mode 0700) and the files (mode 0600), their names with `suffix`.

        Raises:
            AudioFileError: that fails.
        """
        self.folder = folder
        self._suffix = suffix
        self._start = 0
        self._transcript = Transcript()
        self._sides = Sides()
        with self._explained():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(
                folder / f"events{suffix}.jsonl", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600
            )
            self._log: TextIO = os.fdopen(descriptor, "w", encoding="utf-8", buffering=1)
            self.save()
        self._person = WavRecorder(folder / f"person{suffix}.wav", ENGINE_RATE_HZ)
        self._both = WavRecorder(folder / f"session{suffix}.wav", ENGINE_RATE_HZ, channels=2)

    def take(self, event: Event) -> None:
        """Log `event`; the transcript is written anew after each turn."""
        event = counted_from(self._start, event)
        with self._explained():
            self._log.write(event.to_json() + "\n")
            self._transcript.take(event)
            if event.kind in ("reply_finished", "reply_cancelled", "session_ended"):
                self.save()

    def begin(self, start: int, lead_samples: int) -> None:
        """Count from input sample `start`; the agent's next sample sounds `lead_samples` after it."""
        self._start = start
        self._sides.begin(lead_samples)

    def write(self, person: Samples, agent: Samples) -> None:
        """Append what was heard, (T,), and what was said meanwhile, (T',); they need not be equally long."""
        self._person.write(person)
        self._sides.add(person, agent)
        self._both.write(*self._sides.take())

    def save(self) -> Path:
        """Write the transcript as it is now; returns its path."""
        return write_transcript(self._transcript, self.folder, self._suffix)

    def close(self) -> None:
        """Complete all files, each as far as that can be; safe to call twice."""
        if self._log.closed:
            return
        with self._explained(), ExitStack() as files:
            for file in (self._both, self._person, self._log):
                files.callback(file.close)
            self.save()
            self._both.write(*self._sides.take(everything=True))

    def _explained(self) -> AbstractContextManager[None]:
        return _explained(f"record to {self.folder}", "free some space or choose another --out")
