"""A session on disk, private to its owner and complete at any moment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TextIO

from taste_agent.audio.ports import Samples
from taste_agent.audio.recording import WavRecorder
from taste_agent.clock import ENGINE_RATE_HZ
from taste_agent.errors import AudioFileError
from taste_agent.events import Event
from taste_agent.session.sides import Sides
from taste_agent.session.transcript import Transcript


def recording_folder(base: Path | None = None, now: datetime | None = None) -> Path:
    """A folder that does not exist yet, named after the second: in `base`, or in the current folder."""
    name = f"taste-agent-{now or datetime.now():%Y%m%d-%H%M%S}"
    folder = (base or Path()) / name
    number = 1
    while folder.exists():
        number += 1
        folder = (base or Path()) / f"{name}-{number}"
    return folder


def write_private(path: Path, text: str) -> None:
    """Write `text` to `path` so that only its owner can read it; replaces what was there at once."""
    temporary = path.with_name(f".{path.name}.part")
    descriptor = os.open(temporary, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, path)


class SessionRecording:
    """Writes what was heard and said from now on.

    `person.wav` is the microphone after echo cancellation, `session.wav` has it on the left and the agent
    on the right, as it was handed to the loudspeaker (whose latency is not in it); `events.jsonl` and the
    transcripts tell what happened. `take`, `write` and `close` raise `AudioFileError` where the disk is full.
    """

    def __init__(self, folder: Path) -> None:
        """Make `folder` (mode 0700) and the files (mode 0600); `AudioFileError` where that fails."""
        self.folder = folder
        with self._explained():
            folder.mkdir(mode=0o700, parents=True)
            descriptor = os.open(folder / "events.jsonl", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        self._log: TextIO = os.fdopen(descriptor, "w", encoding="utf-8", buffering=1)
        self._person = WavRecorder(folder / "person.wav", ENGINE_RATE_HZ)
        self._both = WavRecorder(folder / "session.wav", ENGINE_RATE_HZ, channels=2)
        self._transcript = Transcript()
        self._sides = Sides()

    def take(self, event: Event) -> None:
        """Log `event`; the transcript is written anew after each turn."""
        with self._explained():
            self._log.write(event.to_json() + "\n")
            self._transcript.take(event)
            if event.kind in ("reply_finished", "reply_cancelled", "session_ended"):
                self._write_transcript()

    def begin_audio(self, lead_samples: int) -> None:
        """The agent's first sample sounds `lead_samples` after the first one that is heard."""
        self._sides.begin(lead_samples)

    def write(self, person: Samples, agent: Samples) -> None:
        """Append what was heard, (T,), and what was said meanwhile, (T',); they need not be equally long."""
        self._person.write(person)
        self._sides.add(person, agent)
        self._both.write(*self._sides.take())

    def _write_transcript(self) -> None:
        write_private(self.folder / "transcript.txt", self._transcript.as_text())
        write_private(self.folder / "transcript.json", self._transcript.as_json())

    def close(self) -> None:
        """Complete all files, each as far as that can be; safe to call twice."""
        if self._log.closed:
            return
        with self._explained(), ExitStack() as files:
            for file in (self._both, self._person, self._log):
                files.callback(file.close)
            self._write_transcript()
            self._both.write(*self._sides.take(everything=True))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise AudioFileError(
                f"cannot record to {self.folder}: {error.strerror}; free some space or choose another --out"
            ) from error
