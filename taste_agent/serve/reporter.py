"""Translates a session's events to the protocol's server events. Knows neither clock nor socket."""

import base64
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from taste_agent import events as ev
from taste_agent.audio.ports import Samples
from taste_agent.clock import ms_of_samples, seconds_of_samples
from taste_agent.serve.audio_format import AudioEncoder
from taste_agent.serve.client_events import SessionFields
from taste_agent.serve.items import Ids, Item, Items, PartialText, Response, Status
from taste_agent.serve.mind import Usage

_CANCELLED_BY_VOICE = ("speech", "word", "client")
_FINAL = ("unanswered", "typed", "failed")
"""Reasons why words that were understood are not answered."""


class Reporter:
    """Turns the session's events and frames into server events.

    Args:
        fields: the protocol's session, kept up to date by the caller.
        ids: makes the ids of the conversation.
        items: items of the conversation.
        send: takes each server event, in order.
        usage_of: returns the tokens of a reply, by its generation.
    """

    def __init__(
        self,
        fields: SessionFields,
        ids: Ids,
        items: Items,
        send: Callable[[dict[str, Any]], None],
        usage_of: Callable[[int], Usage],
    ) -> None:
        self.fields = fields
        self.response: Response | None = None
        """The response in progress."""
        self.last: Response | None = None
        """The last response of which something was sent."""
        self.paused = False
        """Whether the response waits because somebody is speaking over it."""
        self.metadata: dict[str, str] | None = None
        """Metadata of the next response."""
        self.spoken_item: Item | None = None
        """The message that is being spoken, if any."""
        self.answering: list[Item] = []
        """The committed messages that the next turn consists of."""
        self.typed: list[Item] = []
        """The typed messages that the next turn consists of."""
        self.generations: dict[str, int] = {}
        """For each item: the generation of the reply that answers it, or that it is."""
        self._ids, self._items, self._send_now, self._usage_of = ids, items, send, usage_of
        self._partial = PartialText()
        self._recognized: dict[int, str] = {}
        self._encoder = AudioEncoder(fields.audio.output.format.type)
        self._sound: list[Samples] = []
        self._silence: list[Samples] = []
        self._turn_item: Item | None = None
        """A message whose answer was cancelled before a word was heard; the next message may contain it."""
        self._typed = False

    # ---- from the session

    def take(self, event: ev.Event) -> None:
        """Report an event."""
        match event:
            case ev.SpeechStarted() if self._by_voice:
                self._speech("started", "audio_start_ms", event.first_sample)
            case ev.SpeechEnded() if self._by_voice:
                self._speech("stopped", "audio_end_ms", event.last_sample)
            case ev.PartialHeard():
                self._tell_partial({**self._recognized, event.piece: event.text})
            case ev.PieceRecognized():
                self._recognized[event.piece] = event.text
                self._tell_partial(self._recognized)
            case ev.SpeechDropped():
                self._dropped(event)
            case ev.TurnEnded():
                self._typed = event.reason == "typed"
            case ev.UserTurn():
                self._user_turn(event)
            case ev.ReplyTakenUp():
                self._create(event.generation)
            case ev.Notice(level="error"):
                self._failed(event.text)
            case _:
                self._take_of_reply(event)

    def take_frame(self, samples: Samples) -> None:
        """Take a frame for the client to play. Silence is sent only within a reply, not while it waits."""
        if self.response is None or self.response.item.part != "output_audio":
            return
        if samples.any():
            self._sound += [*self._silence, samples]
            self.response.sent_samples += sum(map(len, self._silence)) + len(samples)
            self._silence = []
        elif self.response.sent_samples:
            self._silence.append(samples)

    def flush(self) -> None:
        """Send the collected sound."""
        sound, self._sound = self._sound, []
        if sound and self.response is not None:
            self._send_sound(self.response, self._encoder.feed(np.concatenate(sound)))

    def new_output_format(self) -> None:
        """Use the session's output format, which has changed, from the next sound on."""
        self._encoder = AudioEncoder(self.fields.audio.output.format.type)

    # ---- for whoever handles the client's events

    def send(self, kind: str, **fields: Any) -> None:
        """Send an event after the sound before it."""
        self.flush()
        self._send_now({"type": kind, "event_id": self._ids.new("event"), **fields})

    def add_item(self, item: Item, done: bool = True) -> None:
        """Report a new item, which is complete unless a response continues it."""
        previous = self._items.add(item)
        self.send("conversation.item.added", previous_item_id=previous, item=item.as_json())
        if done:
            self.send("conversation.item.done", previous_item_id=previous, item=item.as_json())

    def commit_item(self, item: Item) -> None:
        """Report that what was said has become an item."""
        previous = self._items.last_id
        self.send("input_audio_buffer.committed", previous_item_id=previous, item_id=item.id)
        self.add_item(item)

    # ---- what the person says

    @property
    def _by_voice(self) -> bool:
        return self.fields.audio.input.turn_detection is not None and not self.answering

    def _speech(self, what: Literal["started", "stopped"], name: str, sample: int) -> None:
        item = self._being_said()
        self.send(
            f"input_audio_buffer.speech_{what}", item_id=item.id, **{name: round(ms_of_samples(sample))}
        )

    def _being_said(self) -> Item:
        if self.answering:
            return self.answering[-1]
        if self.spoken_item is None:
            self.spoken_item = Item(self._ids.new("item"), "user", "input_audio")
        return self.spoken_item

    def _tell_partial(self, pieces: dict[int, str]) -> None:
        text = " ".join(text.strip() for _, text in sorted(pieces.items()) if text.strip())
        new = self._partial.take(text)
        if new:
            kind = "conversation.item.input_audio_transcription.delta"
            self.send(kind, item_id=self._being_said().id, content_index=0, delta=new)

    def _dropped(self, event: ev.SpeechDropped) -> None:
        for piece in event.pieces:
            self._recognized.pop(piece, None)
        if event.reason in _FINAL:
            self._turn_item = None

    def _user_turn(self, event: ev.UserTurn) -> None:
        answered = self.typed if self._typed else self.answering
        if not self._typed:
            item = self._being_said()
            answered = answered or [item]
            item.text = event.text
            if self._turn_item is not None and not self.answering:
                self._replaced(self._turn_item)
            if not self.answering:
                self.commit_item(item)
            self.send(
                "conversation.item.input_audio_transcription.completed",
                item_id=item.id,
                content_index=0,
                transcript=event.text,
                usage={"type": "duration", "seconds": seconds_of_samples(event.end - event.start)},
            )
            self._turn_item = item
        self.generations |= {item.id: event.generation for item in answered}
        self.spoken_item, self.answering, self.typed = None, [], []
        self._partial, self._recognized = PartialText(), {}
        self._create(event.generation)

    def _replaced(self, item: Item) -> None:
        """Delete the item of a turn that the person continues, because the new item contains all of it."""
        self._items.remove(item.id)
        self.send("conversation.item.deleted", item_id=item.id)

    # ---- what the agent says

    def _create(self, generation: int) -> None:
        part: Literal["output_text", "output_audio"] = (
            "output_text" if self.fields.output_modalities == ("text",) else "output_audio"
        )
        item = Item(self._ids.new("item"), "assistant", part, status="in_progress")
        self.response = Response(self._ids.new("resp"), generation, item, self.metadata)
        self.generations[item.id] = generation
        self.metadata = None
        self._silence = []
        self.send("response.created", response=self._as_json(self.response))

    def _take_of_reply(self, event: ev.Event) -> None:
        response = self.response
        if response is None or getattr(event, "generation", None) != response.generation:
            return
        match event:
            case ev.ReplyChunk():
                self._chunk(response, event)
            case ev.FirstAudio() if "taste.latency" in self.fields.include:
                latency = {f"{name}_ms": round(ms) for name, ms in event.latency_ms.items()}
                self.send("taste.latency", response_id=response.id, **latency)
            case ev.WordHeard():
                self._word_heard(response, event)
            case ev.PlaybackPaused():
                self.paused = True
            case ev.PlaybackResumed():
                self.paused, self._silence = False, []
            case ev.Underrun():
                self._silence = []  # a gap, which is not part of the reply
            case ev.ReplyGenerated(reason="max_length"):
                response.status = "incomplete"
            case ev.ReplyFinished():
                self._finish(response, "completed")
            case ev.NoSpeech():
                self._finish(response, "completed")
            case ev.ReplyCancelled():
                self._cancelled(response, event)

    def _chunk(self, response: Response, event: ev.ReplyChunk) -> None:
        if not event.words:
            return
        if not response.opened:
            self._open(response)
        text = " ".join(word.strip() for word in event.words if word.strip())
        lead = " " if response.words else ""
        response.words += event.words
        kind = "output_text" if response.item.part == "output_text" else "output_audio_transcript"
        self.send(f"response.{kind}.delta", **self._place(response), delta=lead + text)

    def _open(self, response: Response) -> None:
        response.opened = True
        place = {"response_id": response.id, "output_index": 0}
        self.send("response.output_item.added", **place, item=response.item.as_json())
        self.add_item(response.item, done=False)
        self.send("response.content_part.added", **self._place(response), part=self._part(response, ""))

    def _word_heard(self, response: Response, event: ev.WordHeard) -> None:
        response.word_ends.append(response.sent_samples)
        if "taste.words" in self.fields.include:
            self.send(
                "taste.word",
                **self._place(response),
                index=event.index,
                text=event.text.strip(),
                audio_end_ms=response.sent_ms,
            )

    def _cancelled(self, response: Response, event: ev.ReplyCancelled) -> None:
        response.words = response.words[: event.heard_words]
        if event.reason == "failed":
            self._finish(response, "failed")
            return
        self._finish(
            response,
            "cancelled",
            "turn_detected" if event.reason in _CANCELLED_BY_VOICE else "client_cancelled",
        )
        if response.opened and response.item.part == "output_audio":
            self.tell_truncated(response, response.sent_ms)

    def tell_truncated(self, response: Response, end_ms: int) -> None:
        """Report how much of an answer is remembered."""
        self.send(
            "conversation.item.truncated", item_id=response.item.id, content_index=0, audio_end_ms=end_ms
        )

    def _failed(self, text: str) -> None:
        if self.response is not None:
            self.response.failure = text
        self.send(
            "error",
            error={
                "type": "server_error",
                "code": "failed",
                "message": text,
                "param": None,
                "event_id": None,
            },
        )

    def _finish(self, response: Response, status: Status, reason: str = "") -> None:
        incomplete = response.status == "incomplete" and status == "completed"
        response.status = "incomplete" if incomplete else status
        item = response.item
        item.text = response.text
        item.status = "completed" if status == "completed" else "incomplete"
        if response.opened:
            self._close(response)
        self.response, self.paused = None, False
        if response.words:
            self._turn_item = None
        if response.opened:
            self.last = response
        usage = self._usage_of(response.generation)
        reason = "max_output_tokens" if incomplete else reason
        self.send("response.done", response=self._as_json(response, usage, reason))

    def _close(self, response: Response) -> None:
        item, place = response.item, self._place(response)
        self.flush()
        if item.part == "output_audio":
            self._send_sound(response, self._encoder.finish())
            self.send("response.output_audio.done", **place)
            self.send("response.output_audio_transcript.done", **place, transcript=item.text)
        else:
            self.send("response.output_text.done", **place, text=item.text)
        self.send("response.content_part.done", **place, part=self._part(response, response.text))
        self.send("response.output_item.done", response_id=response.id, output_index=0, item=item.as_json())
        self.send("conversation.item.done", previous_item_id=None, item=item.as_json())

    def _send_sound(self, response: Response, sound: bytes) -> None:
        if sound:
            delta = base64.b64encode(sound).decode("ascii")
            event_id = self._ids.new("event")
            self._send_now(
                {
                    "type": "response.output_audio.delta",
                    "event_id": event_id,
                    **self._place(response),
                    "delta": delta,
                }
            )

    def _part(self, response: Response, text: str) -> dict[str, Any]:
        if response.item.part == "output_text":
            return {"type": "text", "text": text}
        return {"type": "audio", "transcript": text}

    def _place(self, response: Response) -> dict[str, Any]:
        return {
            "response_id": response.id,
            "item_id": response.item.id,
            "output_index": 0,
            "content_index": 0,
        }

    def _as_json(self, response: Response, usage: Usage | None = None, reason: str = "") -> dict[str, Any]:
        output = self.fields.audio.output
        return response.as_json(output.format.model_dump(), output.voice, usage, reason)
