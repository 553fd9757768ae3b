"""A turn of a frozen talk, from the end of the person's turn to the last sample, as in the agent and naively.

Lengths are forced: whatever a model would say, the reply has 40 words, each of one text token in the spoken
LM and of 20 units (0.4 s) in the unit decoder. What the naive form does that the fast paths do not: the
spoken LM reads the whole history again at every step, the sampler's tables are built at each reply,
classifier-free guidance is two calls, weight norm is computed at each call, and every chunk says everything
again from the start of the reply. It keeps the units' cache.
"""

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from taste_agent.bench.report import Span, Stopwatch
from taste_agent.bench.subject import Subject
from taste_speech.acceleration import plain_steps
from taste_speech.audio_io import Samples, load_audio
from taste_speech.spoken_lm.vocabulary import build_vocabulary
from taste_speech.streaming import Conversation, TASTESegment, Word, streaming_generate, taste_tokenize
from taste_speech.streaming.detokenize import StreamingDetokenizer
from taste_speech.streaming.emit_timing import EmitTiming, growing_chunks
from taste_speech.streaming.layout import Row
from taste_speech.streaming.row_cache import RowCache
from taste_speech.streaming.unit_stream import ChunkUnits, UnitStream, UnitStreamState
from taste_speech.vocoder.weight_norm import WeightNormConv
from taste_speech.words import tokenize_words

MEASURED_TURN, REPLY_WORDS, UNITS_PER_WORD, AUDIO_RATE_HZ = 10, 40, 20, 16000
QUESTION = "please tell me what a day at sea is like"
REPLY = (
    "you get up before the sun and walk down to the water where the boat is ready then you ride out for "
    "an hour or two and look for a cloud of breath over the waves until you see one"
)


def question_audio() -> Samples:
    """Return 3.5 s of a question, (samples,) at 16 kHz."""
    return load_audio(Path(__file__).parents[1] / "demo" / "question.wav", AUDIO_RATE_HZ)


def audio_segment(subject: Subject, role: str, text: str) -> TASTESegment:
    """Return a segment of a text with made-up taste tokens that depend on the words alone."""
    model, tokenizer, words = subject.model, subject.processor.llm_tokenizer, []
    for word in text.split():
        code = zlib.crc32(word.encode()) % model.audio_tower.quantizer.codebooks.shape[1]
        ids = tokenize_words(tokenizer, [word]).token_ids
        words.append(Word(word, tuple(ids), (code,) * model.num_quantizers))
    return TASTESegment.from_words(role, words, model.num_quantizers)


def conversation_before(subject: Subject, turn: int = MEASURED_TURN) -> Conversation:
    """Return the exchanges before a turn (counted from 1), read by the LM.

    Only word starts can be drawn in it and nothing ends a reply: n tokens are n words.
    """
    conversation = Conversation(subject.model, subject.processor)
    known = conversation.vocabulary
    speakable = known.word_start & ~known.special & ~known.banned
    conversation.vocabulary = replace(known, banned=~speakable, ends=(False,) * len(known.starts))
    conversation.stop_ids = frozenset()
    conversation.config = conversation.config.model_copy(update={"extra_words": 10**6})
    answer = " ".join(REPLY.split()[:14])
    exchange = [audio_segment(subject, "user", QUESTION), audio_segment(subject, "assistant", answer)]
    conversation.extend(exchange * (turn - 1))
    conversation.prefill()
    return conversation


class FixedRateUnits(UnitStream):
    """Give every word the same number of units."""

    def extend(
        self, words: Sequence[Word], state: UnitStreamState, *drawing: Any
    ) -> tuple[ChunkUnits, UnitStreamState]:
        """As `UnitStream.extend`."""
        self._count = UNITS_PER_WORD * len(words)
        return super().extend(words, state, *drawing)

    def remember(
        self, words: Sequence[Word], ids: list[int], ends: list[int], state: UnitStreamState
    ) -> UnitStreamState:
        """As `UnitStream.remember`, the units shared evenly, so that the window is always as long."""
        return super().remember(words, ids, [UNITS_PER_WORD * (i + 1) for i in range(len(words))], state)

    def _limits(self, own_tokens: int, has_context: bool) -> tuple[int, int]:
        return self._count, self._count


class FixedRateDetokenizer(StreamingDetokenizer):
    """The detokenizer of the measured reply."""

    def __init__(self, subject: Subject, window: int | None = None) -> None:
        super().__init__(subject.model, subject.processor, subject.speaker, AUDIO_RATE_HZ)
        window = self._units.max_prev_words if window is None else window
        self._units = FixedRateUnits(subject.model, subject.speaker, window)

    def say(self, words: Sequence[Word], final: bool = False) -> int:
        """Make the sound of the next words; returns how many new samples there are."""
        return len(self.speak(words, final).samples)


class UncachedRows(RowCache):
    """The LM's memory without keys and values: each call runs every row."""

    def _forward(self, rows: Sequence[Row]) -> None:
        every = [*self.rows, *rows]
        self.reset()
        super()._forward(every)


class _OneByOne(nn.Module):
    """An estimator that takes the halves of the guidance one after the other."""

    def __init__(self, estimator: nn.Module) -> None:
        super().__init__()
        self.estimator = estimator

    def forward(self, *inputs: Tensor) -> Tensor:
        items = zip(*([x] * 2 if x is None else x.split(1) for x in inputs), strict=True)
        return torch.cat([self.estimator(*item) for item in items])


@contextmanager
def naive_forms(subject: Subject) -> Iterator[None]:
    """Run the model without its fast paths within the context."""
    voice = subject.voice
    flow, estimator = voice.flow.decoder, voice.flow.decoder.estimator
    with plain_steps(subject.model, voice):
        flow.estimator = _OneByOne(estimator)  # type: ignore[assignment]
        for part in voice.hift.modules():
            if isinstance(part, WeightNormConv):
                part.folded = None
        try:
            yield
        finally:
            flow.estimator = estimator
            voice.fold_weight_norm()


@dataclass(slots=True)
class TurnCost:
    """What one run of a turn cost; `words`, `generate`, `speak` and `samples` are of each chunk."""

    tokenize: Span = field(default_factory=lambda: np.zeros(2))
    prefill: Span = field(default_factory=lambda: np.zeros(2))
    words: list[int] = field(default_factory=list)
    generate: list[Span] = field(default_factory=list)
    speak: list[Span] = field(default_factory=list)
    samples: list[int] = field(default_factory=list)

    @property
    def first_audio(self) -> Span:
        """From the end of the turn to the first samples: taste tokens, prefill, first words, their sound."""
        return self.tokenize + self.prefill + self.generate[0] + self.speak[0]

    @property
    def reply(self) -> Span:
        """All of the reply: prefill, words and sound."""
        return sum(self.generate + self.speak, start=self.prefill)

    @property
    def audio_s(self) -> float:
        """Seconds of sound."""
        return sum(self.samples) / AUDIO_RATE_HZ


class Turn:
    """A turn of the talk that can be run again and again; naive ones belong within `naive_forms`."""

    def __init__(
        self,
        subject: Subject,
        emit: EmitTiming | None = None,
        number: int = MEASURED_TURN,
        naive: bool = False,
    ) -> None:
        self._subject, self._emit, self._naive = subject, emit or growing_chunks(), naive
        self.conversation = conversation_before(subject, number)
        if naive:
            parts = (subject.model.spoken_lm, subject.model.audio_tower.quantizer)
            self.conversation.lm_state = UncachedRows(*parts)

    def run(self) -> TurnCost:
        """Answer the question once, after the same exchanges each time."""
        subject, conversation, cost = self._subject, self.conversation, TurnCost()
        model, processor, config = subject.model, subject.processor, subject.model.config
        question, answer = (audio_segment(subject, "user", text) for text in (QUESTION, REPLY))
        audio, words = torch.from_numpy(question_audio())[None, : 3 * AUDIO_RATE_HZ], answer.words
        detokenizer, before = FixedRateDetokenizer(subject), len(conversation.segments)
        watch = Stopwatch(subject.device)
        taste_tokenize(model, processor, audio, question.text_ids, AUDIO_RATE_HZ)
        cost.tokenize = watch.lap()
        if self._naive:
            build_vocabulary(processor.llm_tokenizer, config.text_config.vocab_size, config.vocabulary)
            conversation.lm_state.reset()  # so that the prefill reads all of the prompt
        conversation.append(question)
        conversation.prefill()
        conversation.speak_probability = 1.0  # the assistant answers, whatever the weights say
        cost.prefill = watch.lap()
        for item in streaming_generate(
            model, processor, [], max_length=REPLY_WORDS, emit_timing_func=self._emit, state=conversation
        ):
            cost.generate.append(watch.lap())
            said = sum(cost.words)
            end, final = min(said + len(item["segment"].words), REPLY_WORDS), item["is_complete"]
            cost.words.append(end - said)
            if self._naive:
                again = FixedRateDetokenizer(subject, window=REPLY_WORDS)
                cost.samples.append(again.say(words[:end], final) - sum(cost.samples))
            else:
                cost.samples.append(detokenizer.say(words[said:end], final))
            cost.speak.append(watch.lap())
        while len(conversation.segments) > before:
            conversation.pop()
        conversation.prefill()
        return cost
