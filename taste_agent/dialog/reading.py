"""Reading a given text aloud: the spoken language model adds taste tokens to words that are not its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from taste_agent.audio.ports import Samples
from taste_agent.clock import ENGINE_RATE_HZ, samples_of_ms
from taste_agent.dialog.brain import Sound
from taste_agent.dialog.sound import SoundEdges
from taste_speech import TasteForCausalLM, TasteProcessor
from taste_speech.spoken_text import as_sentence
from taste_speech.streaming import Conversation, StreamingDetokenizer, TASTESegment
from taste_speech.streaming.layout import Row
from taste_speech.words import Word

SILENCE_BEFORE_MS = 20


def taste_of_text(model: TasteForCausalLM, processor: TasteProcessor, text: str) -> TASTESegment:
    """The words of `text` with the taste tokens that the model would have spoken them with.

    Raises:
        TextError: there are no words.
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
    """Sound of `text`, (T,) samples at the engine's rate, chunk by chunk as it is made.

    Args:
        model, processor: of one checkpoint.
        text: at least one word.
        speaker: (1, width) embedding of the voice.
        seed: same seed, same sound; None for a new one each time.
        words_per_chunk: words that are made into sound together.
    """
    generator = torch.Generator(model.device)
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    voice = StreamingDetokenizer(model, processor, speaker, ENGINE_RATE_HZ, generator)
    edges = SoundEdges(samples_of_ms(SILENCE_BEFORE_MS))
    # A voice learns from whole sentences: the last word of one without an end mark would be cut.
    words = taste_of_text(model, processor, as_sentence(" ".join(processor.split_text(text)))).words
    for start in range(0, len(words), words_per_chunk):
        final = start + words_per_chunk >= len(words)
        chunk = voice.speak(words[start : start + words_per_chunk], final)
        yield edges(Sound(chunk.samples, ()), final).samples
