"""`Session`: audio in, audio and events out; see the package's docstring for the structure."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from taste_agent.audio.filters import HighPass
from taste_agent.audio.playback import PlaybackBuffer, SilentPlayback
from taste_agent.audio.ports import Samples
from taste_agent.clock import ENGINE_RATE_HZ, samples_of_ms
from taste_agent.config import AgentSettings
from taste_agent.dialog import messages as m
from taste_agent.events import Event, SessionEnded, SessionStarted
from taste_agent.session.runner import Runner
from taste_agent.turns.manager import TurnManager
from taste_agent.turns.vad import FrameClassifier, is_gap, level_dbfs

_NOTHING = np.zeros(0, np.float32)
_PAUSE_SAMPLES = samples_of_ms(60)
"""Silence that is longer than any inside a word."""


@dataclass(frozen=True, slots=True)
class Levels:
    """Levels of the last frame, for a level meter."""

    input_dbfs: float = -100.0
    output_dbfs: float = -100.0
    is_speech: bool = False


class Session:
    """One conversation; call all methods from the thread that calls `process`.

    Args:
        emit: called with every event, in order.
        source, model: names for the first event.
        speaks: False for replies without sound, whose words count as heard when they arrive.
    """

    def __init__(
        self,
        settings: AgentSettings,
        runner: Runner,
        emit: Callable[[Event], None],
        source: str = "",
        model: str = "",
        speaks: bool = True,
    ) -> None:
        self._runner = runner
        self._emit = emit
        self._classifier = FrameClassifier(settings.vad)
        self.frame_samples = self._classifier.frame_samples
        self._high_pass = HighPass(self.frame_samples)
        self._playback = (PlaybackBuffer if speaks else SilentPlayback)(settings.playback)
        self._manager = TurnManager(settings)
        self._block_samples = samples_of_ms(settings.recognition.block_ms)
        reach_ms = settings.vad.pre_roll_ms + settings.vad.start_window_ms + settings.vad.frame_ms
        self._recent: deque[Samples] = deque(maxlen=-(-reach_ms // settings.vad.frame_ms) + 1)
        self._partial_frame = _NOTHING
        self._piece: int | None = None
        self._piece_blocks: list[Samples] = []
        self._piece_sent = 0
        self._silent_samples = 0
        self._talk_key: bool | None = None
        self._closed = False
        self.now = 0
        """Input samples processed so far."""
        self.muted = False
        """Whether the microphone is muted."""
        self.cut = False
        """Whether the loudspeaker must drop its queue; cleared by the code that drives it."""
        self.levels = Levels()
        emit(SessionStarted(0, source, model, self.frame_samples, ENGINE_RATE_HZ))

    @property
    def idle(self) -> bool:
        """Whether nobody speaks and no answer is due."""
        return self._manager.idle

    def set_latency(self, input_samples: int, output_samples: int) -> None:
        """Set the age of the samples passed to `process`, and the time until returned ones are heard."""
        self._manager.set_latency(input_samples, output_samples)

    def process(self, samples: Samples) -> Samples:
        """Take input of any length; return one frame of output for every completed frame of input.

        The frame returned for input up to sample t is played from t on.
        """
        pending = np.concatenate([self._partial_frame, samples.astype(np.float32, copy=False)])
        end = len(pending) // self.frame_samples * self.frame_samples
        self._partial_frame = pending[end:]
        frames = pending[:end].reshape(-1, self.frame_samples)
        return np.concatenate([_NOTHING, *map(self._process_frame, frames)])

    def interrupt(self, reason: str = "key") -> None:
        """Stop the reply; with reason `key` and no reply, end the person's turn instead.

        With `key` the person wants silence; with `client` the person speaks and will be answered.
        """
        self._carry_out(self._manager.interrupt(self.now, reason))

    def type_text(self, text: str) -> None:
        """Answer typed text."""
        self._carry_out(self._manager.type_text(self.now, text))

    def set_muted(self, muted: bool) -> None:
        """Mute or unmute the microphone; muting ends the person's turn."""
        if muted and not self.muted:
            self._carry_out(self._manager.end_turn(self.now, "muted"))
        self.muted = muted

    def set_push_to_talk(self, held: bool | None) -> None:
        """Set whether the talk key is held; None returns the decision to the VAD."""
        released = self._talk_key is True and held is not True
        self._talk_key = held
        self._manager.trust_talk_key(held is not None)
        if released:
            self._carry_out(self._manager.end_turn(self.now, "push_to_talk"))

    def close(self, reason: str = "end_of_input") -> None:
        """End the session, and cut a running reply to its heard words; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self._carry_out(self._manager.interrupt(self.now, "closed"))
        self._runner.close()
        self._emit(SessionEnded(self.now, reason))

    def _process_frame(self, frame: Samples) -> Samples:
        if self.muted:
            frame = np.zeros_like(frame)
        self.now += len(frame)
        in_gap = is_gap(frame)
        frame = self._high_pass(frame)
        decision = self._classifier.judge(frame, in_gap)
        if self._talk_key is not None:
            decision = replace(decision, is_speech=self._talk_key)
        self._silent_samples = 0 if decision.is_speech else self._silent_samples + len(frame)
        self._recent.append(frame)
        if self._piece is not None:
            self._piece_blocks.append(frame)
            if sum(map(len, self._piece_blocks)) >= self._block_samples:
                self._send_piece()
        self._collect()
        self._carry_out(self._manager.on_frame(self.now, decision))
        self._collect()  # if computing costs nothing, the results are ready at once
        pulled = self._playback.pull(len(frame))
        self._carry_out(self._manager.on_pulled(self.now, pulled))
        self.levels = Levels(decision.level_dbfs, level_dbfs(pulled.samples), decision.is_speech)
        return pulled.samples

    def _collect(self) -> None:
        while results := self._runner.collect(self.now):
            for result in results:
                self._carry_out(self._manager.on_result(self.now, result))

    def _carry_out(self, orders: list[m.Order]) -> None:
        for order in orders:
            match order:
                case Event():
                    self._emit(order)
                case m.Play(m.Spoken() as chunk):
                    self._playback.push(chunk.generation, chunk.samples, chunk.words)
                case m.Play(end):
                    self._playback.complete(end.generation)
                case m.Silence():
                    self._fall_silent(order)
                case m.Resume():
                    self.cut = False
                    self._playback.resume()
                case m.ListenFrom(piece, start):
                    heard = np.concatenate([_NOTHING, *self._recent])
                    heard = heard[max(0, len(heard) - (self.now - start)) :]
                    self._piece, self._piece_blocks = piece, [heard]
                    self._piece_sent = self.now - len(heard)
                    self._send_piece()
                case m.ListenStop():
                    self._send_piece()
                    self._piece = None
                case _:
                    if isinstance(order, m.Answer | m.AnswerText | m.GoOn):
                        self._playback.begin(order.generation)
                    self._runner.submit(order, self.now)

    def _fall_silent(self, order: m.Silence) -> None:
        self.cut |= order.cut
        if order.for_good:
            self._playback.cancel()
            return
        self._playback.pause()
        if order.unheard_words is not None:
            self._playback.unpull(order.unheard_words)

    def _send_piece(self) -> None:
        if self._piece is None:
            return
        samples = np.concatenate([_NOTHING, *self._piece_blocks])
        self._piece_blocks = []
        silent = self._silent_samples >= _PAUSE_SAMPLES
        self._runner.submit(m.Hear(self._piece, self._piece_sent, samples, silent), self.now)
        self._piece_sent += len(samples)
