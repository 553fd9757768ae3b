"""A decoder that has written everything may write it again, and again; where that begins."""

from collections.abc import Sequence

_LEAST_OF_A_WHOLE = 4
"""Tokens of an utterance that nobody says twice in exactly the same way."""


def loop_start(token_ids: Sequence[int]) -> int | None:
    """How many tokens to keep where the last ones only repeat; None where they do not.

    A phrase counts from its third time on, one token from its fourth, and all of the text from its second.
    """
    count = len(token_ids)
    ids = list(token_ids)
    if count >= 2 * _LEAST_OF_A_WHOLE and count % 2 == 0 and ids[: count // 2] == ids[count // 2 :]:
        return count // 2
    for length in range(1, count // 3 + 1):
        times = 4 if length == 1 else 3
        phrase = ids[count - length :]
        if times * length <= count and ids[count - times * length :] == times * phrase:
            return count - (times - 1) * length
    return None
