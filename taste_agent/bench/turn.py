"""A turn of the frozen talk, from the end of the person's turn to the last sample of the reply."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from taste_agent.bench.material import (
    AUDIO_RATE_HZ,
    REPLY_WORDS,
    TALK,
    FixedRateDetokenizer,
    audio_segment,
    conversation_before,
    question_audio,
    reply_words,
)
from taste_agent.bench.subject import Subject
from taste_agent.bench.timing import Span, Stopwatch
from taste_speech.streaming import SegmentWord, TASTESegment, streaming_generate, taste_tokenize
from taste_speech.streaming.emit_timing import EmitTiming, growing_chunks


@dataclass(frozen=True, slots=True)
class ChunkCost:
    """One chunk of the reply."""

    words: int
    generate: Span
    speak: Span
    audio_s: float


@dataclass(slots=True)
class TurnCost:
    """What one run of the turn cost."""

    tokenize: Span = field(default_factory=Span)
    prefill: Span = field(default_factory=Span)
    chunks: list[ChunkCost] = field(default_factory=list)

    @property
    def first_audio(self) -> Span:
        """From the end of the turn to the first samples: taste tokens, prefill, first words, their sound."""
        first = self.chunks[0]
        return self.tokenize + self.prefill + first.generate + first.speak

    @property
    def reply(self) -> Span:
        """All of the reply: prefill, words and sound."""
        return sum((chunk.generate + chunk.speak for chunk in self.chunks), start=self.prefill)

    @property
    def audio_s(self) -> float:
        """Seconds of sound."""
        return sum(chunk.audio_s for chunk in self.chunks)


class Turn:
    """The measured turn. `run` can be repeated: each starts from the same exchanges."""

    def __init__(self, subject: Subject, emit: EmitTiming | None = None, number: int = len(TALK)) -> None:
        self.subject = subject
        self.emit = emit or growing_chunks()
        self.conversation = conversation_before(subject, number)
        self._watch = Stopwatch(subject.device)
        self._audio = torch.from_numpy(question_audio())[None]
        self._question = audio_segment(subject, "user", TALK[-1][0])
        self._reply = reply_words(subject)

    def run(self) -> TurnCost:
        """Answer the question once."""
        subject, conversation, watch = self.subject, self.conversation, self._watch
        cost, before = TurnCost(), len(conversation.segments)
        self.start_reply()
        watch.lap()
        taste_tokenize(subject.model, subject.processor, self._audio, self._question.text_ids, AUDIO_RATE_HZ)
        cost.tokenize = watch.lap()
        self.prepare()
        conversation.append(self._question)
        conversation.prefill()
        conversation.speak_probability = 1.0  # the assistant answers, whatever the weights say
        cost.prefill = watch.lap()
        said = 0
        for item in self._items():
            count = min(len(item["segment"].words), REPLY_WORDS - said)
            generate = watch.lap()
            samples = self.speak(self._reply[said : said + count], final=item["is_complete"])
            said += count
            cost.chunks.append(ChunkCost(count, generate, watch.lap(), samples / AUDIO_RATE_HZ))
        while len(conversation.segments) > before:
            conversation.pop()
        conversation.prefill()
        return cost

    def _items(self) -> Iterator[dict[str, Any]]:
        """The reply's items: forty tokens, each of them a word."""
        subject = self.subject
        return streaming_generate(
            subject.model,
            subject.processor,
            [],
            max_length=REPLY_WORDS,
            emit_timing_func=self.emit,
            state=self.conversation,
        )

    def start_reply(self) -> None:
        """Not timed: a detokenizer for the reply."""
        self._detokenizer = FixedRateDetokenizer(self.subject)

    def prepare(self) -> None:
        """Whatever a reply needs anew, timed with the prefill; nothing here."""

    def speak(self, words: list[SegmentWord], final: bool) -> int:
        """Sound of the next words; returns how many new samples there are."""
        segment = TASTESegment.from_words("assistant", words, self.subject.model.num_quantizers)
        chunk = self._detokenizer.feed(segment.text_ids, segment.taste_ids, final)
        return len(chunk.samples)
