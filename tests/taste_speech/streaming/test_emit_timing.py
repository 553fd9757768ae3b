import pytest

from taste_speech.streaming import (
    EmitContext,
    at_clause_ends,
    every_words,
    growing_chunks,
)


def context(*pending: str, chunks: int = 0) -> EmitContext:
    return EmitContext(pending, chunks * 2, chunks, 0.9)


def test_every_words() -> None:
    assert not every_words(2)(context("one"))
    assert every_words(2)(context("one", "two"))


def test_at_clause_ends() -> None:
    timing = at_clause_ends(most=3)
    assert not timing(context("well"))
    assert timing(context("well,"))
    assert timing(context("one", "two", "three"))


def test_chunks_grow_to_a_limit() -> None:
    timing = growing_chunks(first=1, growth=2, most=3)
    due = [next(n for n in range(1, 9) if timing(context(*"w" * n, chunks=chunks))) for chunks in range(4)]
    assert due == [1, 2, 3, 3]
    assert context("w").is_first_chunk
    assert not context("w", chunks=1).is_first_chunk


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="count is 0; give 1 or more"):
        every_words(0)
    with pytest.raises(ValueError, match="most is 0; give 1 or more"):
        at_clause_ends(0)
    with pytest.raises(ValueError, match="first is 0; give 1 or more"):
        growing_chunks(first=0)
    with pytest.raises(ValueError, match=r"growth is 0\.5; give 1"):
        growing_chunks(growth=0.5)
