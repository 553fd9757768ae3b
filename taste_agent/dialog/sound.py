"""Sound of speech: long recordings in parts, the edges of a reply, and texts read aloud."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from taste_agent.audio.ports import Samples
from taste_agent.clock import ENGINE_RATE_HZ, samples_of_ms
from taste_agent.dialog.brain import Sound
from taste_speech import TasteForCausalLM, TasteProcessor
from taste_speech.spoken_text import as_sentence
from taste_speech.streaming import Conversation, StreamingDetokenizer, TASTESegment
from taste_speech.streaming.layout import Row
from taste_speech.words import Word

SOUNDING_RMS = 2.5e-3
"""Level above which a block is audible (-52 dBFS), some 35 dB below speech.

The shipped voice starts vowels with an inaudible breath of -57 dBFS and a pause.
"""
BLOCK_SAMPLES = samples_of_ms(10)
_RISE_SAMPLES = samples_of_ms(2)
_FALL_SAMPLES = samples_of_ms(10)
_SILENCE_AFTER_SAMPLES = samples_of_ms(30)
_SEARCH_SAMPLES = samples_of_ms(500)
"""Distance within which the quietest place for a cut is searched."""
_QUIET_SAMPLES = samples_of_ms(20)
SILENCE_BEFORE_MS = 20
"""Silence before a text that is read aloud."""


def parts_of_speech(
    words: Sequence[str], samples: Samples, count_tokens: Callable[[Sequence[str]], int], most_tokens: int
) -> Iterator[tuple[list[str], Samples]]:
    """Split a recording (T,) and its words into parts of at most `most_tokens` tokens.

    The times of the words are unknown, so the audio is cut at quiet places, in proportion to the tokens. A
    word with more tokens than allowed is a part of its own.
    """
    tokens = [count_tokens([word]) for word in words]
    parts, left = -(-sum(tokens) // most_tokens), sum(tokens)
    begin, first = 0, 0
    while parts > 1 and begin < len(words) - 1:
        end, taken = begin, 0
        while end < len(words) - 1 and (taken == 0 or taken + tokens[end] <= -(-left // parts)):
            taken += tokens[end]
            end += 1
        cut = _quiet_place(samples, first + (samples.size - first) * taken // left, first)
        yield list(words[begin:end]), samples[first:cut]
        begin, first, left = end, cut, left - taken
        parts = -(-left // most_tokens)
    yield list(words[begin:]), samples[first:]


def _quiet_place(samples: Samples, wanted: int, first: int) -> int:
    low = max(first + _QUIET_SAMPLES, wanted - _SEARCH_SAMPLES)
    blocks = _blocks(samples[low : wanted + _SEARCH_SAMPLES], _QUIET_SAMPLES)
    if not len(blocks):
        return wanted
    return low + int(np.argmin(np.square(blocks).sum(axis=1))) * _QUIET_SAMPLES + _QUIET_SAMPLES // 2


def _blocks(samples: Samples, size: int) -> Samples:
    """Return all whole blocks, (blocks, size)."""
    return samples[: samples.size // size * size].reshape(-1, size)


class SoundEdges:
    """Trims the start of one reply to its first sound, and makes it end in silence.

    The ends of words move with the start.
    """

    def __init__(self, silence_before: int) -> None:
        """Put `silence_before` samples before the first sound."""
        self._silence_before = silence_before
        self._shift = 0
        self._begun = False

    def __call__(self, sound: Sound, final: bool = False) -> Sound:
        """Shape the next chunk of the reply; a first chunk that is all silence stays as it is."""
        samples = sound.samples
        if not self._begun and samples.size:
            self._begun = True
            samples = self._begin(samples)
        if final:
            silence = np.zeros(_SILENCE_AFTER_SAMPLES, np.float32)
            fall = np.linspace(1, 0, min(_FALL_SAMPLES, samples.size), dtype=np.float32)
            kept = samples.size - fall.size
            samples = np.concatenate([samples[:kept], fall * samples[kept:], silence])
        words = tuple(replace(word, end=max(0, word.end + self._shift)) for word in sound.words)
        return Sound(samples, words)

    def _begin(self, samples: Samples) -> Samples:
        levels = np.sqrt(np.mean(np.square(_blocks(samples, BLOCK_SAMPLES)), axis=1))
        loud = np.flatnonzero(levels > SOUNDING_RMS)
        if not loud.size:
            return samples
        self._shift = self._silence_before - int(loud[0]) * BLOCK_SAMPLES
        if self._shift <= 0:
            return samples[-self._shift :]
        rise = np.linspace(0, 1, min(_RISE_SAMPLES, samples.size), dtype=np.float32)
        samples = np.concatenate([rise * samples[: rise.size], samples[rise.size :]])
        return np.concatenate([np.zeros(self._shift, np.float32), samples])


def taste_of_text(model: TasteForCausalLM, processor: TasteProcessor, text: str) -> TASTESegment:
    """Return the words of `text` with the taste tokens with which the model would speak them.

    Raises:
        TextError: the text has no words.
    """
    conversation = Conversation(model, processor)
    conversation.prefill()
    roles = conversation.format.role_ids
    if roles is not None:
        conversation.lm_state.append(Row(roles["assistant"], None))
    ids = processor.process_text(text)["llm_token_ids"]
    words: list[Word] = []
    for word in processor.llm_ids_to_words(ids):
        taste = words[-1].taste if words else None
        for token in word.ids:
            conversation.lm_state.append(Row(token, taste))
        words.append(replace(word, taste=conversation.lm_state.read_taste()))
    return conversation.words_segment(words)


def read_aloud(
    model: TasteForCausalLM,
    processor: TasteProcessor,
    text: str,
    speaker: torch.Tensor,
    seed: int | None = None,
    words_per_chunk: int = 8,
) -> Iterator[Samples]:
    """Yield the sound of `text` chunk by chunk, (T,) samples at the engine's rate.

    Args:
        model, processor: parts of one checkpoint.
        text: at least one word.
        speaker: (1, width) embedding of the voice.
        seed: the same seed gives the same sound; None draws a new one.
        words_per_chunk: number of words that are synthesized together.
    """
    generator = torch.Generator(model.device)
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    voice = StreamingDetokenizer(model, processor, speaker, ENGINE_RATE_HZ, generator)
    edges = SoundEdges(samples_of_ms(SILENCE_BEFORE_MS))
    # The voice is trained on whole sentences; without an end mark it would cut the last word.
    words = taste_of_text(model, processor, as_sentence(" ".join(processor.split_text(text)))).words
    for start in range(0, len(words), words_per_chunk):
        final = start + words_per_chunk >= len(words)
        chunk = voice.speak(words[start : start + words_per_chunk], final)
        yield edges(Sound(chunk.samples, ()), final).samples
