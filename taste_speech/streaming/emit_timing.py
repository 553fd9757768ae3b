"""When words of a reply are emitted: built-in functions for `streaming_generate(emit_timing_func=...)`.

Each factory returns a pure function of an `EmitContext` that is called after each ready word.
"""

from collections.abc import Callable
from dataclasses import dataclass

_CLAUSE_ENDS = (".", ",", ";", ":", "!", "?")


@dataclass(frozen=True)
class EmitContext:
    """Input of an emit-timing function."""

    pending_words: tuple[str, ...]
    """Ready words that have not been emitted, the newest last."""
    words_emitted: int
    """Number of words of this reply emitted so far."""
    chunks_emitted: int
    """Number of items of this reply emitted so far."""
    probability_of_speaking: float
    """Probability, before the reply, that it is the assistant's turn."""

    @property
    def is_first_chunk(self) -> bool:
        """Whether nothing of this reply has been emitted yet."""
        return self.chunks_emitted == 0


EmitTiming = Callable[[EmitContext], bool]
"""Decides whether the pending words are emitted now."""


def every_words(count: int = 1) -> EmitTiming:
    """Emit when `count` words are pending."""
    _check_positive("count", count)
    return lambda context: len(context.pending_words) >= count


def at_clause_ends(most: int = 12) -> EmitTiming:
    """Emit after a word that ends with punctuation, or when `most` words are pending."""
    _check_positive("most", most)
    return lambda context: (
        len(context.pending_words) >= most or context.pending_words[-1].endswith(_CLAUSE_ENDS)
    )


def growing_chunks(first: int = 2, growth: float = 2.0, most: int = 12) -> EmitTiming:
    """Emit a small first chunk, which is heard early, then larger ones, which cost less per word.

    Chunk n, counted from 0, is due at `first * growth ** n` words, or at `most` if that is less.
    """
    _check_positive("first", first)
    _check_positive("most", most)
    if growth < 1:
        raise ValueError(f"growth is {growth}; give 1 (equal chunks) or more")

    def decide(context: EmitContext) -> bool:
        due = min(first * growth**context.chunks_emitted, most)
        return len(context.pending_words) >= due

    return decide


def _check_positive(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} is {value}; give 1 or more")
