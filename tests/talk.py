"""Segments to talk about, and how to drain a reply, for streaming tests."""

from collections.abc import Iterator
from typing import Any

import torch

from taste_speech.streaming import Conversation, TASTESegment, Word, streaming_generate

QUESTION = "what time is it in the city?"
FOLLOW_UP = "please tell me something about the river."


def spoken(processor: Any, model: Any, text: str, role: str = "user", seed: int = 0) -> TASTESegment:
    """Audio segment of `text` with made-up taste tokens."""
    generator = torch.Generator().manual_seed(seed + len(text))
    codebook_size = model.config.audio_tower_config.kwargs_for_quantizer.codebook_size
    words = []
    for word in text.split():
        codes = torch.randint(codebook_size, (model.num_quantizers,), generator=generator)
        ids = processor.llm_tokenizer.encode(f" {word}", add_special_tokens=False)
        words.append(Word(ids=tuple(ids), taste=tuple(codes.tolist())))
    return TASTESegment.from_words(role, words, model.num_quantizers)


def talk(model: Any, processor: Any, *texts: str) -> Conversation:
    """A conversation that has heard these user turns."""
    conversation = Conversation(model, processor)
    for text in texts:
        conversation.append(spoken(processor, model, text))
    return conversation


def stream(
    conversation: Conversation, model: Any, processor: Any, seed: int = 0, **arguments: Any
) -> Iterator[dict]:
    """`streaming_generate` with varied words and a generator of its own."""
    settings: dict[str, Any] = {
        "text_top_p": 0.9,
        "text_temperature": 1.0,
        "max_length": 30,
        "generator": torch.Generator().manual_seed(seed),
    } | arguments
    return streaming_generate(model, processor, [], state=conversation, **settings)


def words_of(items: Any) -> list[Word]:
    """All words of some items, in order."""
    return [word for item in items for word in item["segment"].words]
