"""Streams of speech, tokens and replies, with state that can be cut back and gone on from.

Names are loaded on first use, so importing the package is cheap.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taste_speech.streaming.conversation import Conversation, ReplyState
    from taste_speech.streaming.detokenize import SpeechChunk, StreamingDetokenizer, taste_detokenize
    from taste_speech.streaming.emit_timing import (
        EmitContext,
        EmitTiming,
        at_clause_ends,
        every_words,
        growing_chunks,
    )
    from taste_speech.streaming.generator import streaming_generate
    from taste_speech.streaming.segment import TASTESegment
    from taste_speech.streaming.tokenize import taste_tokenize
    from taste_speech.words import Word

__all__ = [
    "Conversation",
    "EmitContext",
    "EmitTiming",
    "ReplyState",
    "SpeechChunk",
    "StreamingDetokenizer",
    "TASTESegment",
    "Word",
    "at_clause_ends",
    "every_words",
    "growing_chunks",
    "streaming_generate",
    "taste_detokenize",
    "taste_tokenize",
]

_MODULES = {
    "conversation": ("Conversation", "ReplyState"),
    "detokenize": ("SpeechChunk", "StreamingDetokenizer", "taste_detokenize"),
    "emit_timing": ("EmitContext", "EmitTiming", "at_clause_ends", "every_words", "growing_chunks"),
    "generator": ("streaming_generate",),
    "segment": ("TASTESegment", "Word"),
    "tokenize": ("taste_tokenize",),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
