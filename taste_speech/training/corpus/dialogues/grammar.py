"""The notation of the paraphrases, `(what is|tell me) the capital of {country}`, and the course's words."""

import itertools
import re
from pathlib import Path
from typing import Any

import yaml

from taste_speech.errors import TasteError

# The C loader is ten times as fast; not every build of PyYAML has it.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)


COURSE = Path(__file__).parent / "course"
WORDS: dict[str, Any] = read_yaml(COURSE / "words.yaml")
"""Words around questions, in murmurs and in computed rows."""
_QUESTION_STARTS = frozenset(WORDS["question_starts"].split())


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
    """Return `text` with a capital and, where there is none, a period or a question mark."""
    text = re.sub(r"\bi\b", "I", text)
    text = text[0].upper() + text[1:]
    if text[-1] in ".?":
        return text
    words = text.split()
    asks = words[0].strip(",").lower() in _QUESTION_STARTS or any(
        first.endswith(",") and second.lower() in _QUESTION_STARTS
        for first, second in itertools.pairwise(words)
    )
    return text + ("?" if asks else ".")


def as_heard(text: str) -> str:
    """Return `text` as a recognizer without punctuation writes it: lower case, words and apostrophes only."""
    return " ".join(re.sub(r"[^a-z' ]", " ", text.lower()).split())
