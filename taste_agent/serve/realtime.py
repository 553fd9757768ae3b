"""A conversation over the Realtime protocol: client events in, server events out. One thread, no socket."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from taste_agent import events as ev
from taste_agent.audio.ports import Samples
from taste_agent.clock import ENGINE_RATE_HZ, seconds_of_samples
from taste_agent.config import AgentSettings
from taste_agent.serve import client_events as ce
from taste_agent.serve.audio_format import AudioDecoder, bytes_of_base64
from taste_agent.serve.computing import Job, forget, remember
from taste_agent.serve.errors import ProtocolError, SessionOver
from taste_agent.serve.items import Ids, Item, Items, Waiting
from taste_agent.serve.limits import Budget, Limits, SilencePace
from taste_agent.serve.mind import ModelFacts, Usage
from taste_agent.serve.reporter import Reporter
from taste_agent.serve.session_fields import first_fields, merged, settings_for, shown
from taste_agent.session.engine import Session

ServerEvent = dict[str, Any]


class Engine(Protocol):
    """A session with its runner."""

    session: Session

    def do(self, job: Job) -> None:
        """Run a job in the computing thread, after everything that was queued before it."""

    def usage(self, generation: int) -> Usage:
        """Return the tokens of a reply."""


OpenEngine = Callable[[AgentSettings, Callable[[ev.Event], None], bool], Engine]
"""Opens a session. Takes the settings, a function for its events, and whether it speaks."""


@dataclass(frozen=True)
class Surroundings:
    """What all conversations of a server share."""

    settings: AgentSettings
    facts: ModelFacts
    open_engine: OpenEngine
    limits: Limits = field(default_factory=Limits)
    observe: Callable[[ev.Event], None] = lambda event: None


class Realtime:
    """One conversation. All methods belong to one thread; times come from a monotonic clock.

    The session begins with the first sound or response. Until then, everything about it can be changed.
    """

    def __init__(self, around: Surroundings, send: Callable[[ServerEvent], None], now_s: float) -> None:
        self._around = around
        self._limits = around.limits
        self._ids = Ids()
        self._items = Items()
        fields = first_fields(around.settings, around.facts)
        self._session_id = self._ids.new("sess")
        self._reporter = Reporter(fields, self._ids, self._items, send, self._usage)
        self._decoder = AudioDecoder(fields.audio.input.format.type)
        self._engine: Engine | None = None
        self._settings = settings_for(around.settings, fields, around.facts)
        self._pace = SilencePace(0.02, now_s)
        self._frame = np.zeros(0, np.float32)
        self._uncommitted: list[Samples] = []
        self._messages = Budget(self._limits.messages_per_s, 2 * self._limits.messages_per_s, now_s)
        self._audio = Budget(self._limits.audio_per_s, self._limits.audio_burst_s, now_s)
        self._began_s = self._active_s = now_s
        self._reporter.send("session.created", session=shown(fields, self._session_id))

    @property
    def busy(self) -> bool:
        """Whether time goes on by itself: somebody is speaking, or an answer is pending."""
        return self._engine is not None and not self._engine.session.idle

    @property
    def replying(self) -> bool:
        """Whether a response is in progress."""
        return self._reporter.response is not None

    # ---- from outside

    def receive(self, text: str, now_s: float) -> None:
        """Handle a client's message. A mistake in it is answered with `error`.

        Raises:
            SessionOver: the session cannot go on.
        """
        if not self._messages.spend(1, now_s):
            raise SessionOver(
                "rate_limit_exceeded",
                f"more than {self._limits.messages_per_s:g} messages a second; send sound in longer pieces",
                1008,
                "rate_limit_error",
            )
        try:
            self._take(ce.parse(text), now_s)
        except ProtocolError as error:
            self._tell(error, ce.event_id_of(text))
        self._reporter.flush()

    def refuse(self, error: ProtocolError) -> None:
        """Report a message that could not be read."""
        self._tell(error, None)

    def advance(self, now_s: float) -> None:
        """Advance the session to the current time.

        Raises:
            SessionOver: the session has lasted, or was idle, for too long.
        """
        if self.busy:
            self._active_s = now_s
            silence = np.zeros(self._frame_samples, np.float32)
            for _ in range(self._pace.due_frames(now_s)):
                self._step(silence)
            self._reporter.flush()
        else:
            self._pace.rest(now_s)
        if now_s - self._began_s > self._limits.session_s:
            raise SessionOver(
                "session_expired", f"a session lasts {self._limits.session_s:g} s at most", 1001
            )
        if now_s - self._active_s > self._limits.idle_s:
            raise SessionOver("idle_timeout", f"nothing was said for {self._limits.idle_s:g} s", 1001)

    def close(self, reason: str) -> None:
        """End the session. Safe to call twice."""
        if self._engine is not None:
            self._engine.session.close(reason)

    # ---- client events

    def _take(self, event: ce.Known, now_s: float) -> None:
        match event:
            case ce.SessionUpdate():
                self._update(event.session)
            case ce.Append():
                self._append(event, now_s)
            case ce.Commit():
                self._commit(now_s)
            case ce.Clear():
                self._clear()
            case ce.CreateItem():
                self._create_item(event)
            case ce.TruncateItem():
                self._truncate(event)
            case ce.DeleteItem():
                self._delete(event.item_id)
            case ce.RetrieveItem():
                item = self._items.get(event.item_id)
                self._reporter.send("conversation.item.retrieved", item=item.as_json())
            case ce.CreateResponse():
                self._create_response(event.response, now_s)
            case ce.CancelResponse():
                self._cancel(event.response_id)

    def _update(self, update: dict[str, Any]) -> None:
        old = self._reporter.fields
        new = merged(old, update)
        settings = settings_for(self._around.settings, new, self._around.facts)
        if self._engine is not None:
            self._only_what_may_change(old, new, settings)
        self._settings = settings
        self._reporter.fields = new
        if new.audio.input.format != old.audio.input.format:
            self._decoder = AudioDecoder(new.audio.input.format.type)
        if new.audio.output.format != old.audio.output.format:
            self._reporter.new_output_format()
        self._set_turn_detection()
        self._reporter.send("session.updated", session=shown(new, self._session_id))

    def _only_what_may_change(
        self, old: ce.SessionFields, new: ce.SessionFields, settings: AgentSettings
    ) -> None:
        """Allow only changes of formats and turn detection on or off once something was said."""
        off = new.audio.input.turn_detection is None or old.audio.input.turn_detection is None
        same = ("dialog", "sampling") if off else ("dialog", "sampling", "endpointing", "vad", "barge_in")
        for name in same:
            if getattr(settings, name) != getattr(self._settings, name):
                raise ProtocolError(
                    "cannot_update",
                    f"{name} can be changed only before the conversation begins; open a new session",
                    "session",
                )
        if new.output_modalities != old.output_modalities:
            raise ProtocolError(
                "cannot_update",
                "output_modalities can be changed only before the conversation begins",
                "session",
            )
        if self.replying and new.audio.output.format != old.audio.output.format:
            raise ProtocolError("cannot_update", "a response is in progress; change the format after it")

    def _set_turn_detection(self) -> None:
        if self._engine is not None:
            self._engine.session.set_push_to_talk(None if self._by_voice else False)

    def _append(self, event: ce.Append, now_s: float) -> None:
        samples = self._decoder.feed(bytes_of_base64(event.audio, "audio"))
        if not self._audio.spend(seconds_of_samples(len(samples)), now_s):
            raise ProtocolError(
                "rate_limit_exceeded",
                f"more than {self._limits.audio_per_s:g} s of sound a second; it was dropped",
                "audio",
                "rate_limit_error",
            )
        if self._by_voice:
            self._pace.heard(now_s)
            self._feed(samples)
            return
        waiting = sum(map(len, self._uncommitted)) + len(samples)
        if seconds_of_samples(waiting) > self._limits.buffer_s:
            raise ProtocolError(
                "input_audio_buffer_full",
                f"{self._limits.buffer_s:g} s of sound are waiting already; commit or clear them",
            )
        self._uncommitted.append(samples)

    def _commit(self, now_s: float) -> None:
        if self._by_voice:
            if self._reporter.spoken_item is None or self.replying:
                raise ProtocolError("input_audio_buffer_commit_empty", "nobody has said anything to commit")
            self._running().session.interrupt()  # ends the turn, which is answered
            return
        samples = np.concatenate([np.zeros(0, np.float32), *self._uncommitted, self._decoder.finish()])
        self._uncommitted = []
        if seconds_of_samples(len(samples)) < 0.1:
            raise ProtocolError("input_audio_buffer_commit_empty", "less than 100 ms of sound to commit")
        self._wait(
            Waiting(Item(self._ids.new("item"), "user", "input_audio"), samples=samples), committed=True
        )
        self._active_s = now_s

    def _clear(self) -> None:
        self._decoder.finish()
        self._uncommitted = []
        self._frame = np.zeros(0, np.float32)
        self._reporter.send("input_audio_buffer.cleared")

    def _create_item(self, event: ce.CreateItem) -> None:
        if event.previous_item_id not in (None, self._items.last_id):
            raise ProtocolError(
                "invalid_value",
                "an item can only be added at the end of the conversation",
                "previous_item_id",
            )
        item_id = event.item.id or self._ids.new("item")
        if item_id in self._items.known:
            raise ProtocolError("invalid_value", f"there is already an item {item_id!r}", "item.id")
        part = event.item.content[0]
        if isinstance(part, ce.InputText):
            self._wait(Waiting(Item(item_id, "user", "input_text", part.text), text=part.text))
            return
        decoder = AudioDecoder(self._reporter.fields.audio.input.format.type)
        sound = decoder.feed(bytes_of_base64(part.audio, "item.content.0.audio"))
        samples = np.concatenate([sound, decoder.finish()])
        if not 0.1 <= seconds_of_samples(len(samples)) <= self._limits.buffer_s:
            raise ProtocolError(
                "invalid_value",
                f"0.1 to {self._limits.buffer_s:g} s of sound are allowed",
                "item.content.0.audio",
            )
        self._wait(Waiting(Item(item_id, "user", "input_audio"), samples=samples))

    def _wait(self, waiting: Waiting, committed: bool = False) -> None:
        if len(self._items.waiting) >= self._limits.pending_items:
            raise ProtocolError("too_many_items", "too many items wait for a response; create or delete some")
        (self._reporter.commit_item if committed else self._reporter.add_item)(waiting.item)
        self._items.waiting.append(waiting)

    def _delete(self, item_id: str) -> None:
        item, generation = self._items.get(item_id), self._reporter.generations.get(item_id)
        if generation is not None:
            if self.replying:
                raise ProtocolError("cannot_delete", "a response is in progress; delete the item after it")
            self._running().do(forget(generation, answer=item.role == "assistant"))
        self._items.remove(item_id)
        self._reporter.send("conversation.item.deleted", item_id=item_id)

    # ---- responses

    def _create_response(self, wanted: ce.ResponseFields, now_s: float) -> None:
        if self.replying:
            raise ProtocolError(
                "conversation_already_has_active_response",
                "a response is in progress; wait for response.done, or cancel it",
            )
        if wanted.output_modalities not in (None, self._reporter.fields.output_modalities):
            raise ProtocolError(
                "invalid_value", "a response must have the session's modality", "response.output_modalities"
            )
        waiting, said = self._items.waiting, self._reporter.spoken_item is not None
        if not waiting and not (said and self._by_voice):
            raise ProtocolError(
                "nothing_to_answer", "there is nothing to answer; say or type something first"
            )
        kinds = {item.samples is None for item in waiting}
        if len(kinds) > 1:
            raise ProtocolError(
                "unsupported",
                "speech and text cannot be answered together; create a response for each",
            )
        self._reporter.metadata = wanted.metadata
        self._active_s = now_s
        self._items.waiting = []
        session = self._running().session
        if not waiting:
            session.interrupt()  # ends the turn, which is answered
        elif waiting[0].samples is None:
            self._reporter.typed = [item.item for item in waiting]
            session.type_text("\n".join(item.text for item in waiting))
        else:
            self._say(session, waiting)

    def _say(self, session: Session, waiting: list[Waiting]) -> None:
        """Let the session hear committed messages, as with push-to-talk."""
        self._reporter.answering = [item.item for item in waiting]
        session.set_push_to_talk(True)
        sound = [item.samples for item in waiting if item.samples is not None]
        self._feed(np.concatenate(sound))
        self._feed(np.zeros(-len(self._frame) % self._frame_samples, np.float32))
        session.set_push_to_talk(False)
        self._set_turn_detection()

    def _cancel(self, response_id: str | None) -> None:
        response = self._reporter.response
        if response is None or response_id not in (None, response.id):
            raise ProtocolError("response_cancel_not_active", "there is no such response in progress")
        self._interrupt()

    def _interrupt(self) -> None:
        """Stop the response. Speech over it is still answered."""
        self._running().session.interrupt("client" if self._reporter.paused else "key")

    def _truncate(self, event: ce.TruncateItem) -> None:
        reporter, item = self._reporter, self._items.get(event.item_id)
        response = reporter.response or reporter.last
        if item.role != "assistant" or response is None or response.item is not item:
            raise ProtocolError("invalid_value", "only the last answer can be truncated", "item_id")
        if event.audio_end_ms > response.sent_ms:
            raise ProtocolError(
                "invalid_value", f"only {response.sent_ms} ms of it were sent", "audio_end_ms"
            )
        if response is reporter.response:
            self._interrupt()
        heard = response.words_until(event.audio_end_ms)
        if heard < len(response.words):
            response.words = response.words[:heard]
            item.text = response.text
            self._running().do(remember(response.generation, heard))
        reporter.tell_truncated(response, event.audio_end_ms)

    # ---- the session

    @property
    def _by_voice(self) -> bool:
        return self._reporter.fields.audio.input.turn_detection is not None

    @property
    def _frame_samples(self) -> int:
        return self._running().session.frame_samples

    def _running(self) -> Engine:
        """Return the engine, and open it if necessary."""
        if self._engine is None:
            speaks = self._reporter.fields.output_modalities == ("audio",)
            self._engine = self._around.open_engine(self._settings, self._on_event, speaks)
            frame_s = self._engine.session.frame_samples / ENGINE_RATE_HZ
            self._pace = SilencePace(frame_s, self._active_s)
            self._set_turn_detection()
        return self._engine

    def _feed(self, samples: Samples) -> None:
        size = self._frame_samples
        pending = np.concatenate([self._frame, samples])
        count = len(pending) // size
        self._frame = pending[count * size :]
        for index in range(count):
            self._step(pending[index * size : (index + 1) * size])

    def _step(self, frame: Samples) -> None:
        """Process one frame at a time, so that events are reported along with their sound."""
        self._reporter.take_frame(self._running().session.process(frame))

    def _on_event(self, event: ev.Event) -> None:
        self._around.observe(event)
        self._reporter.take(event)

    def _usage(self, generation: int) -> Usage:
        return self._running().usage(generation)

    def _tell(self, error: ProtocolError, event_id: str | None) -> None:
        self._reporter.send("error", error=error_fields(error, event_id))


def error_fields(error: ProtocolError | SessionOver, event_id: str | None = None) -> dict[str, Any]:
    """Return the fields of an `error` event."""
    return {
        "type": error.kind,
        "code": error.code,
        "message": str(error),
        "param": getattr(error, "param", None),
        "event_id": event_id,
    }
