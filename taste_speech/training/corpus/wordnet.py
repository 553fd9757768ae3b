"""Sentences of WordNet (Debian package `wordnet-base`): examples of use, and words with their definitions."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from taste_speech.errors import TasteError

FOLDER = Path("/usr/share/wordnet")
_PARTS = ("noun", "verb", "adj", "adv")
_FEWEST_WORDS, _MOST_WORDS = 3, 22
_SPEAKABLE = re.compile(r"[A-Za-z][A-Za-z' ,.?!-]*")


@dataclass(frozen=True)
class Entry:
    """One sense.

    Attributes:
        lemmas: its words, spaces between the parts of a compound.
        definition: without its asides.
        examples: whole sentences and phrases.
    """

    lemmas: tuple[str, ...]
    definition: str
    examples: tuple[str, ...]


def entries(folder: Path = FOLDER) -> Iterator[Entry]:
    """Read all senses.

    Raises:
        TasteError: if WordNet is not installed.
    """
    for part in _PARTS:
        path = folder / f"data.{part}"
        if not path.exists():
            raise TasteError(f"{path} is missing; install the Debian package wordnet-base")
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith(" "):  # the license
                continue
            head, _, gloss = line.partition(" | ")
            fields = head.split()
            count = int(fields[3], 16)
            lemmas = tuple(re.sub(r"\(.*\)", "", fields[4 + 2 * i]).replace("_", " ") for i in range(count))
            examples = tuple(re.findall(r'"([^"]+)"', gloss))
            definition = re.sub(r"\([^)]*\)", "", gloss.split('"')[0]).strip().rstrip(";").split(";")[0]
            yield Entry(lemmas, re.sub(r"\s+", " ", definition).strip(), examples)


def sentences(folder: Path = FOLDER) -> tuple[list[str], list[str]]:
    """Return the examples, and "Lemma, definition." of every sense; what is not plain English is left out."""
    examples, definitions = [], []
    for entry in entries(folder):
        examples += [text for example in entry.examples if (text := _as_sentence(example))]
        text = _as_sentence(f"{entry.lemmas[0]}, {entry.definition}")
        if text:
            definitions.append(text)
    return list(dict.fromkeys(examples)), list(dict.fromkeys(definitions))


def _as_sentence(text: str) -> str:
    """With a capital and an end mark; empty if it cannot be read aloud as it stands."""
    text = text.strip().rstrip(" ,-")
    count = len(text.split())
    if not _SPEAKABLE.fullmatch(text) or not _FEWEST_WORDS <= count <= _MOST_WORDS or "--" in text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".?!" else ".")
