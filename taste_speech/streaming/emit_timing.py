"""When words of a reply go out: built-in functions for `streaming_generate(emit_timing_func=...)`.

Each factory returns a pure function of an `EmitContext`; they are called after each ready word.
"""

from collections.abc import Callable
from dataclasses import dataclass

_CLAUSE_ENDS = (".", ",", ";", ":", "!", "?")


@dataclass(frozen=True)
class EmitContext:
    """What an emit-timing function decides on."""

    pending_words: tuple[str, ...]
    """Ready words that have not gone out, the newest last."""
    words_emitted: int
    """Words of this reply that went out before."""
    chunks_emitted: int
    """Items of this reply that went out before."""
    probability_of_speaking: float
    """The model's probability, before the reply, that it is its turn."""

    @property
    def is_first_chunk(self) -> bool:
        """Whether nothing of this reply has gone out yet."""
        return self.chunks_emitted == 0


EmitTiming = Callable[[EmitContext], bool]
"""Decides whether the pending words go out now."""


def every_words(count: int = 1) -> EmitTiming:
    """Emit whenever `count` words are pending."""
    _check_positive("count", count)
    return lambda context: len(context.pending_words) >= count


def at_clause_ends(most: int = 12) -> EmitTiming:
    """Emit after a word that ends with punctuation, or when `most` words are pending."""
    _check_positive("most", most)
    return lambda context: (
        len(context.pending_words) >= most or context.pending_words[-1].endswith(_CLAUSE_ENDS)
    )


def growing_chunks(first: int = 2, growth: float = 2.0, most: int = 12) -> EmitTiming:
    """Emit a small first chunk, to be heard early, then larger ones, which cost less per word.

    Chunk n is due at `first * growth ** n` words, but at most `most`.
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
