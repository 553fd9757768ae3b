"""The thread in which a live session runs: microphone to session to loudspeaker."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import numpy as np

from taste_agent import events as ev
from taste_agent.audio.ports import AudioSink, AudioSource, Samples
from taste_agent.clock import ENGINE_RATE_HZ, ms_of_samples
from taste_agent.config import AgentSettings
from taste_agent.dialog.echo_gate import EchoGate
from taste_agent.errors import AgentError, join_or_leave
from taste_agent.session.engine import Levels, Session
from taste_agent.session.recording import SessionRecording
from taste_agent.session.runner import Runner
from taste_speech.words import Word

Command = Callable[[Session], None]
JOIN_LIMIT_S = 5.0
"""How long `stop` waits for the session to finish its step and complete its files."""


class ChatEngine:
    """Runs a session in its own thread.

    Keys become commands, which run in that thread between two blocks of audio. The session's events go to
    `events`, which one other thread empties.
    """

    def __init__(
        self,
        settings: AgentSettings,
        runner: Runner,
        source: AudioSource,
        sink: AudioSink,
        gate: EchoGate | None = None,
        source_name: str = "",
        speaks: bool = True,
    ) -> None:
        """Prepare a session, which begins with `start`.

        Args:
            gate: is told which words were heard.
            speaks: False for replies that are only shown, as soon as they are generated.
        """
        self._settings = settings
        self._runner = runner
        self._source = source
        self._sink = sink
        self._gate = gate
        self._source_name = source_name
        self._speaks = speaks
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._recording: SessionRecording | None = None
        self._session: Session | None = None
        self._stop_reason: str | None = None
        self._samples_read = 0
        self._thread = threading.Thread(target=self._run, name="session", daemon=True)
        self.events: deque[ev.Event] = deque()
        self.error: Exception | None = None

    @property
    def levels(self) -> Levels:
        """Levels of the last frame."""
        return self._session.levels if self._session else Levels()

    @property
    def now(self) -> int:
        """Number of input samples processed so far."""
        return self._session.now if self._session else 0

    @property
    def idle(self) -> bool:
        """Whether nobody is speaking, no answer is pending and every command has run."""
        return self._session is not None and self._commands.empty() and self._session.idle

    @property
    def running(self) -> bool:
        """Whether the session's thread is running."""
        return self._thread.is_alive()

    @property
    def recording(self) -> SessionRecording | None:
        """The recording that is being written, if any."""
        return self._recording

    def start(self, recording: SessionRecording | None = None) -> None:
        """Start listening and writing to `recording`, which is closed at the end."""
        self._recording = recording
        self._thread.start()

    def do(self, command: Command) -> None:
        """Call `command` with the session, in the session's thread."""
        self._commands.put(command)

    def notice(self, level: str, text: str) -> None:
        """Tell the person something. May be called from any thread."""
        self.do(lambda session: self._emit(ev.Notice(session.now, level, text)))

    def record(self, recording: SessionRecording | None) -> None:
        """Write to `recording` from now on; None stops recording."""
        self.do(lambda session: self._switch_recording(recording))

    def stop(self, reason: str) -> None:
        """End the session (`quit`, `interrupted`, `terminated`) and wait for its last event."""
        self._stop_reason = reason
        self._source.close()
        if self._thread.ident is not None:
            join_or_leave(self._thread, JOIN_LIMIT_S)

    def _run(self) -> None:
        session: Session | None = None
        try:
            session = self._session = Session(
                self._settings,
                self._runner,
                self._emit,
                source=self._source_name,
                model=self._settings.model.checkpoint,
                speaks=self._speaks,
            )
            lead_samples = session.frame_samples
            self._record(lambda recording: recording.begin(0, lead_samples))
            while self._stop_reason is None and (samples := self._source.read()) is not None:
                self._step(session, samples)
        except Exception as error:  # raised again in the thread that shows it
            self.error = error
        finally:
            reason = "failed" if self.error else self._stop_reason or "end_of_input"
            if session is not None:
                session.close(reason)
            else:
                self._runner.close()
            self._switch_recording(None)
            self._sink.close()

    def _step(self, session: Session, samples: Samples) -> None:
        while not self._commands.empty():
            self._commands.get()(session)
        session.set_latency(self._source.latency_samples, self._sink.latency_samples)
        self._samples_read += len(samples)
        spoken = session.process(samples)
        if session.cut:
            session.cut = False
            # Silence what is queued for the loudspeaker, which includes the fade-out.
            self._sink.cut(round(ms_of_samples(len(spoken))) + self._settings.playback.fade_ms)
        self._sink.write(spoken)
        self._source.idle = session.idle
        # Record what was heard: nothing while muted.
        heard = np.zeros_like(samples) if session.muted else samples
        self._record(lambda recording: recording.write(heard, spoken))

    def _emit(self, event: ev.Event) -> None:
        if isinstance(event, ev.WordHeard) and self._gate is not None:
            self._gate.played(Word(event.text, end=event.at))
        self.events.append(event)
        self._record(lambda recording: recording.take(event))

    def _record(self, write: Callable[[SessionRecording], None]) -> None:
        """Write to the recording, if any. If that fails, the recording ends and the conversation goes on."""
        recording = self._recording
        if recording is None:
            return
        try:
            write(recording)
        except AgentError as error:
            self._recording = None
            with suppress(AgentError):  # complete as many files as possible
                recording.close()
            self._emit(ev.Notice(self.now, "error", str(error)))

    def _switch_recording(self, recording: SessionRecording | None) -> None:
        self._record(lambda old: old.close())
        self._recording = recording
        if recording is not None and (session := self._session) is not None:
            start = self._samples_read
            recording.begin(start, session.frame_samples - (start - session.now))
            model = self._settings.model.checkpoint
            started = ev.SessionStarted(
                start, self._source_name, model, session.frame_samples, ENGINE_RATE_HZ
            )
            self._record(lambda new: new.take(started))
