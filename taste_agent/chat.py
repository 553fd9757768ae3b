"""`taste-agent chat`: runs the engine on a sound card; the terminal shows and controls it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack

from taste_agent.audio.echo import (
    Canceller,
    EchoFigures,
    EchoUnavailableError,
    HalfDuplexGate,
    WebRtcCanceller,
    echo_reach_s,
)
from taste_agent.audio.loudspeaker import DeviceSink
from taste_agent.audio.microphone import DeviceSource
from taste_agent.audio.ports import AudioSink, AudioSource, SilentSink, SilentSource
from taste_agent.audio.sound_card import SoundCard
from taste_agent.chat_engine import ChatEngine
from taste_agent.clock import ms_of_samples
from taste_agent.config import AgentSettings, EchoSettings
from taste_agent.dialog.brain import Brain
from taste_agent.dialog.brain_loader import announce_first_use
from taste_agent.dialog.echo_gate import EchoGate
from taste_agent.dialog.worker import CostMeter, DialogWorker
from taste_agent.errors import Terminated
from taste_agent.events import TYPING
from taste_agent.session.engine import Levels
from taste_agent.session.recording import TalkFolder
from taste_agent.session.runner import ThreadRunner
from taste_agent.ui.chat_views import ChatOptions, LiveChat, PlainChat, can_draw
from taste_agent.ui.state import Figures
from taste_agent.ui.terminal import native_stderr_silenced


def run_chat(
    settings: AgentSettings,
    options: ChatOptions,
    load_brain: Callable[[AgentSettings], Brain],
    prepare: Callable[[AgentSettings], None] = lambda settings: None,
) -> None:
    """Talk until the quit key, Ctrl-C, SIGTERM or the end of typed input.

    The sound card is opened before the model is loaded: a missing device is reported at once, and what the
    person says while the model loads is answered.

    Args:
        settings, options: of the agent, and of this call of the command.
        load_brain: loads the model, while other threads keep running.
        prepare: the part of loading that blocks other threads. Nothing is heard meanwhile.

    Raises:
        AudioDeviceError: a device that was named cannot be opened, or there is none at all.
        EchoUnavailableError: echo cancellation is required by the settings and does not run here.
        KeyboardInterrupt, Terminated: after a clean end of the session.
    """
    live = not options.json_events and can_draw(sys.stdin, sys.stdout, os.environ.get("TERM", ""))
    with ExitStack() as stack:
        stack.enter_context(native_stderr_silenced())
        notices: list[tuple[str, str]] = []
        parts = _Parts(settings, options, stack, lambda level, text: notices.append((level, text)))
        folder = TalkFolder(options.out)
        # A download comes first, because the screen would hide its progress.
        brain = load_brain(settings) if announce_first_use(settings.model) else None
        view: LiveChat | PlainChat = LiveChat(options, folder) if live else PlainChat(options, folder)
        stack.enter_context(view)
        view.loading(settings.model.checkpoint)
        engine = parts.engine()
        parts.notify = engine.notice
        for notice in notices:
            engine.notice(*notice)
        if options.push_to_talk:
            engine.do(lambda session: session.set_push_to_talk(False))
        try:
            with view.alive(engine, parts.figures):
                prepare(settings)
                parts.watch()
                _start(engine, folder, options.record)
                if brain is None:
                    view.listening(engine, parts.hears)
                    brain = load_brain(settings)
                parts.begin(brain)
                for text in brain.notices:
                    engine.notice("warning", text)
            reason = view.run(engine, parts.figures)
        except BaseException as stop:
            reason = "quit" if view.quitting and isinstance(stop, KeyboardInterrupt) else _reason_of(stop)
            if reason != "quit":
                raise
        finally:
            engine.stop(reason)
            if brain is not None:  # otherwise there was no conversation to show
                view.drain(engine)
        if engine.error is not None:
            raise engine.error


def _start(engine: ChatEngine, folder: TalkFolder, record: bool) -> None:
    recording = folder.new_recording() if record else None
    if recording is not None:
        engine.notice("info", f"recording to {recording.folder}")
    engine.start(recording)


def _reason_of(stop: BaseException) -> str:
    if isinstance(stop, KeyboardInterrupt):
        return "interrupted"
    return "terminated" if isinstance(stop, Terminated) else "failed"


class _Parts:
    """The sound card, echo cancellation and runner of a chat, and measurements of them."""

    def __init__(
        self,
        settings: AgentSettings,
        options: ChatOptions,
        stack: ExitStack,
        notify: Callable[[str, str], None],
    ) -> None:
        self.notify = notify
        self._settings = settings
        self._runner = ThreadRunner()
        self._engine: ChatEngine | None = None
        self._canceller: Canceller | None = None
        self._gate: EchoGate | None = None
        self._echo_mode = ""
        self.source: AudioSource = SilentSource()
        self.sink: AudioSink = SilentSink()
        self._card: SoundCard | None = None
        if not options.text_only:
            self._echo_mode, self._canceller = choose_canceller(settings.echo, notify)
            card = self._card = SoundCard(settings.devices, lambda level, text: self.notify(level, text))
            stack.callback(card.close)
            card.open(watch=False)
            self.source = DeviceSource(card, self._canceller, settings.devices, settings.echo.lead_ms)
            self.sink = DeviceSink(card, settings.devices)

    @property
    def hears(self) -> bool:
        return self._card is not None and self._card.capture is not None

    def watch(self) -> None:
        if self._card is not None:
            self._card.watch()

    def engine(self) -> ChatEngine:
        if self._card is not None and self._settings.echo.text_gate:
            self._gate = EchoGate(self._echo_reach_s)
        name = self._card.names["input"] if self._card and self._card.capture else TYPING
        ports, speaks = (self.source, self.sink), self._card is not None
        self._engine = ChatEngine(self._settings, self._runner, *ports, self._gate, name, speaks)
        return self._engine

    def _echo_reach_s(self) -> float:
        # A closed microphone and headphones let through no more echo than a working canceller.
        figures = EchoFigures(return_loss_db=float("inf"))
        if self._canceller is not None and self._echo_mode == "webrtc":
            figures = self._canceller.figures()
        return echo_reach_s(figures, self._settings.echo.text_gate_slack_s)

    def begin(self, brain: Brain) -> None:
        worker = DialogWorker(brain, self._settings, CostMeter(), self._card is not None, self._gate)
        self._runner.begin(worker)

    def figures(self) -> Figures:
        levels = self._engine.levels if self._engine else Levels()
        measured = self._canceller.figures() if self._canceller else None
        card, sink, source = self._card, self.sink, self.source
        return Figures(
            input_dbfs=levels.input_dbfs,
            output_dbfs=levels.output_dbfs,
            is_speech=levels.is_speech,
            echo_mode=self._echo_mode,
            echo_return_loss_db=measured.return_loss_db if measured else None,
            echo_enhancement_db=measured.enhancement_db if measured else None,
            gated_words=self._gate.dropped_words if self._gate else 0,
            device_underruns=sink.underruns if isinstance(sink, DeviceSink) else 0,
            latency_ms=ms_of_samples(sink.latency_samples),
            microphone_advice=source.level.advice if isinstance(source, DeviceSource) else "",
            input_name=card.names["input"] if card and card.capture else "",
            output_name=card.names["output"] if card and card.playback else "",
        )


def choose_canceller(
    settings: EchoSettings, notify: Callable[[str, str], None]
) -> tuple[str, Canceller | None]:
    """Return the echo mode in effect and its canceller; `notify` is told of a fallback.

    Raises:
        EchoUnavailableError: the settings require `webrtc`, which does not run here.
    """
    if settings.mode == "headphones":
        return "headphones", None
    if settings.mode == "half_duplex":
        return "half_duplex", HalfDuplexGate()
    try:
        canceller = WebRtcCanceller(
            delay_ms=settings.lead_ms,
            noise_suppression=settings.noise_suppression,
            high_pass=settings.high_pass,
            gain_control=settings.gain_control,
        )
    except EchoUnavailableError as error:
        if settings.mode == "webrtc":
            raise
        notify("warning", str(error))
        return "half_duplex", HalfDuplexGate()
    return "webrtc", canceller
