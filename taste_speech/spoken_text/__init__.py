"""Text as a person reads it aloud: numbers, signs and abbreviations become words.

The result contains only letters, apostrophes, hyphens and . , ? ! and does not change when it is converted
again. Checkpoints that know only such text have `vocabulary.text_is_spoken` in their configuration.
"""

import re
from collections.abc import Sequence
from itertools import pairwise

from taste_speech.errors import TextError
from taste_speech.spoken_text.quantities import DATES, QUANTITIES
from taste_speech.spoken_text.rules import apply
from taste_speech.spoken_text.signs import (
    MARKUP,
    TIDY,
    plain_digits,
    plain_text,
    refuse_foreign,
    say_emoji,
    say_signs,
    without_unsayable,
)
from taste_speech.spoken_text.writing import ADDRESSES, NUMBERS, WRITING, calm

__all__ = ["as_sentence", "plain_text", "spoken_text", "spoken_words"]

_MARKS = ".,?!"


def spoken_text(text: str) -> str:
    """Return `text` as it is read aloud in English: "It's 7:46 PM" -> "It's seven forty-six P M".

    Raises:
        TextError: the text has letters of another script, or nothing to say.
    """
    refuse_foreign(text)
    said = _said(text)
    if not re.search("[A-Za-z]", said):
        raise TextError(f"there is nothing to say in {text.strip()!r}; give at least one word")
    return said


def spoken_words(words: Sequence[str]) -> list[str]:
    """Return the words that are spoken for each word of a text.

    A word that cannot be spoken becomes a comma, which is a short pause.
    """
    words = [without_unsayable(word) for word in words]
    whole = _said(" ".join(words)).split()
    if len(whole) == len(words):
        return whole
    said: list[str] = []
    first, taken = 0, 0
    for end in range(1, len(words) + 1):
        head = _said(" ".join(words[:end])).split()
        if _bare(head + _said(" ".join(words[end:])).split()) == _bare(whole):
            said += _shared(whole[taken : len(head)], end - first)
            first, taken = end, len(head)
    return said


def as_sentence(text: str) -> str:
    """Return spoken text as a sentence: with a capital letter and final punctuation."""
    text = text.rstrip(",- ")
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")


def _said(text: str) -> str:
    text = plain_digits(apply(MARKUP, say_emoji(calm(plain_text(text)))))
    for rules in (ADDRESSES, DATES, QUANTITIES, WRITING, NUMBERS):
        text = apply(rules, text)
    text = say_signs(text)
    said = apply(TIDY, text).strip()
    return said if text.rstrip().endswith((",", ";", ":", "..", "…")) else said.rstrip(",")


def _bare(words: list[str]) -> list[str]:
    return [word.strip(_MARKS).lower() for word in words]


def _shared(said: list[str], count: int) -> list[str]:
    """Divide `said` into `count` parts of similar length; if there are too few words, the rest are pauses."""
    if len(said) < count:
        return said + [","] * (count - len(said))
    cuts = [round(len(said) * part / count) for part in range(count + 1)]
    return [" ".join(said[start:end]) for start, end in pairwise(cuts)]
