"""What the reply voice says in training: sentences of WordNet, and words that are held out."""

import hashlib
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from taste_speech.errors import TasteError
from taste_speech.training.corpus.reply_voice import ReplyVoice

WORDNET = Path("/usr/share/wordnet")
"""Where the Debian package `wordnet-base` puts its files."""
WORD_LIST = Path("/usr/share/dict/american-english")
HELD_OUT_WORDS = 200
"""Number of rare words of `valid` and of `test`."""
_SEED = 14
_SENTENCE_WORDS = range(3, 23)
_SPEAKABLE = re.compile(r"[A-Za-z][A-Za-z' ,.?!-]*")
_CARRIERS = (
    "I read about the {word} yesterday.",
    "They call it {word} in this book.",
    "She said {word} very clearly.",
    "What does {word} mean?",
    "Tell me more about {word}, please.",
)


class Entry(NamedTuple):
    """One sense of WordNet: its words, its definition without asides, and examples of use."""

    lemmas: tuple[str, ...]
    definition: str
    examples: tuple[str, ...]


def entries(folder: Path = WORDNET) -> Iterator[Entry]:
    """Read all senses.

    Raises:
        TasteError: WordNet is not installed.
    """
    for part in ("noun", "verb", "adj", "adv"):
        path = folder / f"data.{part}"
        if not path.exists():
            raise TasteError(f"{path} is missing; install the Debian package wordnet-base")
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith(" "):  # the license
                continue
            head, _, gloss = line.partition(" | ")
            fields = head.split()
            lemmas = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
            definition = re.sub(r"\([^)]*\)", "", gloss.split('"')[0]).strip().rstrip(";").split(";")[0]
            yield Entry(
                tuple(re.sub(r"\(.*\)", "", lemma).replace("_", " ") for lemma in lemmas),
                re.sub(r"\s+", " ", definition).strip(),
                tuple(re.findall(r'"([^"]+)"', gloss)),
            )


def sentences(folder: Path = WORDNET) -> tuple[list[str], list[str]]:
    """Return the examples, and "Lemma, definition." of every sense, except text that is not plain English."""
    found = list(entries(folder))
    examples = (_as_sentence(example) for entry in found for example in entry.examples)
    definitions = (_as_sentence(f"{entry.lemmas[0]}, {entry.definition}") for entry in found)
    return list(dict.fromkeys(filter(None, examples))), list(dict.fromkeys(filter(None, definitions)))


def _as_sentence(text: str) -> str:
    """Return `text` with a capital and an end mark, or nothing if it cannot be read aloud as it is."""
    text = text.strip().rstrip(" ,-")
    if not _SPEAKABLE.fullmatch(text) or len(text.split()) not in _SENTENCE_WORDS or "--" in text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".?!" else ".")


def words_of(text: str) -> list[str]:
    """Return the words of a text in lowercase, without punctuation."""
    return re.findall(r"[a-z']+", text.lower())


@cache
def held_out_words() -> dict[str, tuple[str, ...]]:
    """Return rare words for `valid` and `test`; no word with their stems is trained on.

    They are in the word list and in hibari's dictionary, so that their pronunciation is known, and occur once
    or twice in all of WordNet's sentences.
    """
    examples, definitions = sentences()
    counts = Counter(word for text in (*examples, *definitions) for word in words_of(text))
    listed = set(WORD_LIST.read_text(encoding="utf-8").split())
    rare = sorted(
        word
        for word in ReplyVoice.lexicon()
        if 1 <= counts[word] <= 2 and word in listed and 6 <= len(word) <= 12 and not word.endswith("s")
    )
    drawn = random.Random(_SEED).sample(rare, 2 * HELD_OUT_WORDS)
    return {"valid": tuple(drawn[:HELD_OUT_WORDS]), "test": tuple(drawn[HELD_OUT_WORDS:])}


@cache
def _stems() -> frozenset[str]:
    return frozenset(word[: max(5, len(word) - 2)] for words in held_out_words().values() for word in words)


def is_held_out(word: str) -> bool:
    """Return whether `word`, in lowercase, is a held-out word or begins like one."""
    return any(word[:length] in _stems() for length in range(5, min(len(word), 10) + 1))


def is_for_training(text: str) -> bool:
    """Return whether no word of `text` is held out."""
    return not any(is_held_out(word) for word in words_of(text))


def carriers(split: str) -> list[str]:
    """Return a sentence around each held-out word of `valid` or `test`."""
    words = held_out_words()[split]
    return [_CARRIERS[index % len(_CARRIERS)].format(word=word) for index, word in enumerate(words)]


def wordnet_texts(n_examples: int, n_definitions: int, seed: int) -> list[str]:
    """Return examples of use drawn at random, and definitions that add the most new words."""
    rng = random.Random(seed)
    examples, definitions = (list(filter(is_for_training, texts)) for texts in sentences())
    rng.shuffle(examples)
    rng.shuffle(definitions)
    chosen = examples[:n_examples]
    counts = Counter(word for text in chosen for word in words_of(text))
    return [*chosen, *_bringing_words(definitions, n_definitions, counts, enough=3)]


def _bringing_words(texts: Iterable[str], count: int, counts: Counter[str], enough: int) -> list[str]:
    """Return the first `count` texts with a word that has occurred fewer than `enough` times."""
    chosen: list[str] = []
    for text in texts:
        if len(chosen) == count:
            break
        words = words_of(text)
        if any(counts[word] < enough for word in words):
            counts.update(words)
            chosen.append(text)
    return chosen


def split_of(text: str) -> str:
    """Return `train`, `valid` (1 %) or `test` (2 %), which a hash of the letters of `text` decides."""
    letters = "".join(c for c in text.lower() if c.isalnum() or c == " ")
    bucket = int.from_bytes(hashlib.sha256(letters.encode()).digest()[:4], "little") % 100
    return "test" if bucket < 2 else "valid" if bucket < 3 else "train"
