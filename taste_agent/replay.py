"""`taste-agent replay`: runs a sound file through the whole agent, on a virtual clock."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

import numpy as np

from taste_agent.audio.filters import engine_blocks
from taste_agent.audio.ports import Samples
from taste_agent.clock import ENGINE_RATE_HZ, WallClockPacer
from taste_agent.config import AgentSettings
from taste_agent.dialog.brain import Brain
from taste_agent.dialog.worker import CostMeter, DialogWorker
from taste_agent.errors import AgentError, Terminated, signals_held
from taste_agent.events import Event, Notice
from taste_agent.output_folder import cannot_write, check_writable, owner_only
from taste_agent.session.engine import Session
from taste_agent.session.recording import Sides, WavRecorder, write_private
from taste_agent.session.runner import VirtualRunner
from taste_agent.session.transcript import Transcript
from taste_agent.ui.picture import SessionPicture
from taste_speech.sound_file import SoundFile

_SILENCE_SAMPLES = ENGINE_RATE_HZ // 10
_WRITE_SAMPLES = ENGINE_RATE_HZ
"""Audio is written in blocks of one second."""
NAMES = ("reply.wav", "session.wav", "session.png", "events.jsonl", "transcript.txt", "transcript.json")


@dataclass(frozen=True)
class ReplayResult:
    """The output folder of a replay, and what was said."""

    out: Path
    transcript: Transcript


def run_replay(
    sound: SoundFile,
    settings: AgentSettings,
    out: Path,
    load_brain: Callable[[AgentSettings], Brain],
    on_event: Callable[[Event], None] = lambda event: None,
    on_progress: Callable[[float, float], None] = lambda position_s, duration_s: None,
    block_samples: int | None = None,
) -> ReplayResult:
    """Run one file through the agent and write everything to `out`.

    The folder is checked before the model is loaded, and created, or cleared of earlier results, afterwards.
    Even if an error or Ctrl-C stops the session, all files are complete up to that moment.

    Args:
        out: folder for the results.
        on_progress: called with (seconds done, seconds of the file).
        block_samples: file frames to read at a time; does not change the result.

    Raises:
        AudioError: the file cannot be read.
        AgentError: the file would be overwritten, or the folder cannot be written.
    """
    check_writable(out)
    for name in NAMES:
        if sound.path.exists() and (out / name).exists() and sound.path.samefile(out / name):
            raise AgentError(f"{sound.path} would be overwritten; name another folder with --out")
    brain = load_brain(settings)
    with _Outputs(out, sound.name) as outputs:
        meter = CostMeter(settings.replay.compute_time, settings.replay.fixed)
        runner = VirtualRunner(DialogWorker(brain, settings, meter), meter)

        def emit(event: Event) -> None:
            outputs.take(event)
            on_event(event)

        session = Session(settings, runner, emit, source=sound.name, model=settings.model.checkpoint)
        for text in (*sound.notices, *brain.notices):
            emit(Notice(0, "info", text))
        outputs.begin_audio(session.frame_samples)
        try:
            _run(session, sound, outputs, settings, on_progress, block_samples)
        except (KeyboardInterrupt, Terminated) as stop:
            session.close("terminated" if isinstance(stop, Terminated) else "interrupted")
            raise
        except BaseException:
            session.close("failed")
            raise
        session.close()
    return ReplayResult(out, outputs.transcript)


def _run(
    session: Session,
    sound: SoundFile,
    outputs: "_Outputs",
    settings: AgentSettings,
    on_progress: Callable[[float, float], None],
    block_samples: int | None,
) -> None:
    pacer = WallClockPacer() if settings.replay.realtime else None

    def step(samples: Samples) -> None:
        if pacer is not None:
            pacer.wait_for(session.now + len(samples))
        outputs.write(samples, session.process(samples))

    for samples, read_s in engine_blocks(sound, block_samples):
        step(samples)
        on_progress(read_s, sound.duration_s)
    limit = session.now + int(settings.replay.max_tail_s * ENGINE_RATE_HZ)
    while session.now < limit and not session.idle:  # let the last reply end
        step(np.zeros(_SILENCE_SAMPLES, np.float32))
        on_progress(sound.duration_s, sound.duration_s)


class _Outputs:
    """The files of one session, written while it runs. Only their owner can read them."""

    def __init__(self, out: Path, title: str) -> None:
        self.transcript = Transcript()
        self._out = out
        self._title = title
        self._picture = SessionPicture()
        self._stack = ExitStack()
        self._sides = Sides()
        self._pending = 0

    def __enter__(self) -> Self:
        try:
            self._out.mkdir(parents=True, exist_ok=True)
            for name in NAMES:
                (self._out / name).unlink(missing_ok=True)
            log = open(self._out / "events.jsonl", "w", encoding="utf-8", buffering=1, opener=owner_only)
        except OSError as error:
            raise cannot_write(self._out, error) from error
        self._log: TextIO = self._stack.enter_context(log)
        self._reply = self._stack.enter_context(WavRecorder(self._out / "reply.wav", ENGINE_RATE_HZ))
        self._both = self._stack.enter_context(WavRecorder(self._out / "session.wav", ENGINE_RATE_HZ, 2))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        text, data = self.transcript.as_text(), self.transcript.as_json()
        failure: OSError | AgentError | None = None
        with signals_held(), self._stack:
            for write in (  # each on its own, so that one failure does not stop the others
                lambda: write_private(self._out / "transcript.txt", text),
                lambda: write_private(self._out / "transcript.json", data),
                lambda: self._write_audio(everything=True),
                lambda: self._picture.draw(self._out / "session.png", self.transcript, self._title),
            ):
                try:
                    write()
                except (OSError, AgentError) as problem:
                    failure = failure or problem
        if failure is not None and error is None:  # otherwise, the first error is the one to report
            raise (cannot_write(self._out, failure) if isinstance(failure, OSError) else failure)

    def take(self, event: Event) -> None:
        try:
            self._log.write(event.to_json() + "\n")
        except OSError as error:
            raise cannot_write(self._out, error) from error
        self.transcript.take(event)
        self._picture.take(event)

    def begin_audio(self, lead_samples: int) -> None:
        self._sides.begin(lead_samples)

    def write(self, person: Samples, agent: Samples) -> None:
        self._sides.add(person, agent)
        self._pending += len(agent)
        if self._pending >= _WRITE_SAMPLES:
            self._write_audio()

    def _write_audio(self, everything: bool = False) -> None:
        """Write the audio that both sides have; at the end, pad the shorter one with silence."""
        self._pending = 0
        person, agent = self._sides.take(everything)
        self._reply.write(agent)
        self._both.write(person, agent)
        self._picture.person.add(person)
        self._picture.agent.add(agent)
