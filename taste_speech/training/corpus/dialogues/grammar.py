"""The small notation of the paraphrases: `(what is|tell me) the capital of {country}`."""

import itertools
import re

from taste_speech.errors import TasteError
from taste_speech.training.corpus.lexicon import listed

QUESTION_STARTS = frozenset(
    listed("""
what what's who who's where where's when why how which whose is are was were do does did can could will
would should have has am may isn't aren't don't and
""")
)


def expand(template: str) -> list[str]:
    """Return every sentence that the alternatives in brackets allow; slots in braces stay.

    Raises:
        TasteError: a bracket is not closed.
    """
    pieces = re.split(r"\(([^()]*)\)", template)
    if "(" in "".join(pieces[::2]) or ")" in "".join(pieces[::2]):
        raise TasteError(f"brackets of {template!r} do not match; write (one|other), without nesting")
    choices = [piece.split("|") if i % 2 else [piece] for i, piece in enumerate(pieces)]
    return [" ".join("".join(parts).split()) for parts in itertools.product(*choices)]


def slots_of(template: str) -> set[str]:
    """Return the names in braces."""
    return set(re.findall(r"\{(\w+)\}", template))


def fill(template: str, row: dict[str, str]) -> str:
    """Put the values of `row` into the slots."""
    return re.sub(r"\{(\w+)\}", lambda match: row[match.group(1)], template)


def sentence(text: str) -> str:
    """Return `text` with a capital and, where there is none, a full stop or a question mark."""
    text = re.sub(r"\bi\b", "I", text)
    text = text[0].upper() + text[1:]
    if text[-1] in ".?":
        return text
    words = [word.strip(",").lower() for word in text.split()]
    asks = any(word in QUESTION_STARTS for word in words[:1]) or any(
        first.endswith(",") and second.lower() in QUESTION_STARTS
        for first, second in itertools.pairwise(text.split())
    )
    return text + ("?" if asks else ".")


def as_heard(text: str) -> str:
    """Return `text` as a recognizer without punctuation writes it: lower case, words and apostrophes only."""
    return " ".join(re.sub(r"[^a-z' ]", " ", text.lower()).split())
