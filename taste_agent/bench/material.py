"""The frozen talk that every run is about, and lengths that do not depend on the weights.

Ten turns, of which the last is measured; longer talks go through the first nine again. The reply has 40
words, each of one text token in the spoken LM and of 20 units (0.4 s) in the unit decoder, whatever a model
would say by itself.
"""

import zlib
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from taste_agent.bench.subject import Subject
from taste_speech.streaming import Conversation, SegmentWord, TASTESegment
from taste_speech.streaming.detokenize import StreamingDetokenizer
from taste_speech.streaming.unit_stream import ChunkUnits, SpokenWord, UnitStream, UnitStreamState
from taste_speech.words import tokenize_words

UNITS_PER_WORD = 20
REPLY_WORDS = 40
QUESTION_S = 3.0
AUDIO_RATE_HZ = 16000
TALK = (
    ("hello there can you hear me well today", "yes i hear you well and i am glad that you are here"),
    (
        "what is the largest animal in the sea",
        "it is the blue whale which is longer than three buses in a row",
    ),
    ("and what does it eat all day long", "it eats very small animals of the sea and tons of them each day"),
    (
        "how long does such a whale live then",
        "many of them live for eighty years and some for more than that",
    ),
    (
        "where could i go to see one myself",
        "people go out by boat in the north and wait there for a few hours",
    ),
    (
        "what should i take with me on the boat",
        "take a warm coat and a hat and something to drink for the way",
    ),
    ("is it cold there in the summer too", "the wind over the water is cold on most days even in the summer"),
    ("how do the people there make a living", "many of them fish and some show the sea to their guests"),
    ("do they still hunt the whales up there", "hardly any of them do and in most places it is not allowed"),
    ("please tell me what a day at sea is like", ""),
)
REPLY = (
    "you get up before the sun and walk down to the water where the boat is ready then you ride out for "
    "an hour or two and look for a cloud of breath over the waves until you see one"
)


def audio_segment(subject: Subject, role: str, text: str) -> TASTESegment:
    """Text with made-up taste tokens that depend on the word alone."""
    return TASTESegment.from_words(role, words_of(subject, text), subject.model.num_quantizers)


def words_of(subject: Subject, text: str) -> list[SegmentWord]:
    """Words with their LLM tokens and made-up taste tokens."""
    model, tokenizer = subject.model, subject.processor.llm_tokenizer
    size = model.audio_tower.quantizer.codebooks.shape[1]
    words = []
    for word in text.split():
        seed = zlib.crc32(word.encode())
        taste = tuple((seed >> (5 * level)) % size for level in range(model.num_quantizers))
        words.append(SegmentWord(tuple(tokenize_words(tokenizer, [word]).token_ids), taste))
    return words


def reply_words(subject: Subject) -> list[SegmentWord]:
    """The forty words of the reply."""
    return words_of(subject, REPLY)[:REPLY_WORDS]


def question_audio() -> NDArray[np.float32]:
    """(samples,) at 16 kHz: a buzz with moving pitch and syllables, as loud as speech."""
    time_s = np.arange(int(QUESTION_S * AUDIO_RATE_HZ)) / AUDIO_RATE_HZ
    phase = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 0.7 * time_s)) / AUDIO_RATE_HZ
    buzz = sum(np.sin(k * phase) / k for k in range(1, 20))
    syllables = 0.5 - 0.5 * np.cos(2 * np.pi * 4 * time_s)
    noise = np.random.default_rng(0).standard_normal(time_s.size)
    return (0.1 * syllables * buzz + 0.003 * noise).astype(np.float32)


def conversation_before(subject: Subject, turn: int) -> Conversation:
    """The exchanges before a turn (counted from 1), read by the LM, with forced lengths."""
    conversation = Conversation(subject.model, subject.processor)
    force_lengths(conversation)
    for index in range(turn - 1):
        question, answer = TALK[index % (len(TALK) - 1)]
        conversation.append(audio_segment(subject, "user", question))
        conversation.append(audio_segment(subject, "assistant", answer))
    conversation.prefill()
    return conversation


def force_lengths(conversation: Conversation) -> None:
    """Only word starts can be drawn and nothing ends a reply: n tokens are n words."""
    vocabulary = conversation.vocabulary
    speakable = vocabulary.word_start & ~vocabulary.special & ~vocabulary.banned
    size = len(vocabulary.starts)
    conversation.vocabulary = replace(vocabulary, banned=~speakable, ends=(False,) * size)
    conversation.stop_ids = frozenset()
    never = {"extra_words": 10**6}
    conversation.config = conversation.config.model_copy(update=never)


class FixedRateUnits(UnitStream):
    """Gives every word the same number of units."""

    _count = 0

    def extend(
        self,
        words: list[SpokenWord],
        state: UnitStreamState,
        generator: torch.Generator | None = None,
        greedy: bool = False,
    ) -> tuple[ChunkUnits, UnitStreamState]:
        """As `UnitStream.extend`."""
        self._count = UNITS_PER_WORD * len(words)
        return super().extend(words, state, generator, greedy)

    def remember(
        self, words: list[SpokenWord], ids: list[int], ends: list[int], state: UnitStreamState
    ) -> UnitStreamState:
        """As `UnitStream.remember`, the units shared evenly, so that the window is always as long."""
        even = [UNITS_PER_WORD * (index + 1) for index in range(len(words))]
        return super().remember(words, ids, even, state)

    def _limits(self, own_tokens: int, has_context: bool) -> tuple[int, int]:
        return self._count, self._count


class FixedRateDetokenizer(StreamingDetokenizer):
    """The detokenizer of the measured reply."""

    def __init__(self, subject: Subject, max_prev_words: int | None = None) -> None:
        model = subject.model
        super().__init__(model, subject.processor, subject.speaker, AUDIO_RATE_HZ)
        if max_prev_words is None:
            max_prev_words = model.config.streaming.detokenizer.max_prev_words
        self._units = FixedRateUnits(model, subject.speaker, max_prev_words)
