"""What the reply voice says in training: many different words, and those that nobody trains on."""

import hashlib
import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from taste_speech.training.corpus.reply_voice import ReplyVoice
from taste_speech.training.corpus.wordnet import sentences

WORD_LIST = Path("/usr/share/dict/american-english")
HELD_OUT_WORDS = 200
"""Rare words of each of `valid` and `test`."""
_SEED = 14
_CARRIERS = (
    "I read about the {word} yesterday.",
    "They call it {word} in this book.",
    "She said {word} very clearly.",
    "What does {word} mean?",
    "Tell me more about {word}, please.",
)


def words_of(text: str) -> list[str]:
    """Return the words of a text, lower case, without marks."""
    return re.findall(r"[a-z']+", text.lower())


@cache
def held_out_words() -> dict[str, tuple[str, ...]]:
    """Return rare words for `valid` and `test`; nothing with their stems is trained on.

    They are in the word list and in hibari's dictionary, so that their right sound is known, and turn up once
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
    """Return whether `word`, lower case, is a held-out word or begins like one."""
    return any(word[:length] in _stems() for length in range(5, min(len(word), 10) + 1))


def is_for_training(text: str) -> bool:
    """Return whether no word of `text` is held out."""
    return not any(is_held_out(word) for word in words_of(text))


def carriers(split: str) -> list[str]:
    """Return a sentence around each held-out word of `valid` or `test`."""
    words = held_out_words()[split]
    return [_CARRIERS[index % len(_CARRIERS)].format(word=word) for index, word in enumerate(words)]


def wordnet_texts(n_examples: int, n_definitions: int, seed: int) -> list[str]:
    """Return examples of use drawn at random, and definitions that bring the most new words."""
    rng = random.Random(seed)
    examples, definitions = (list(filter(is_for_training, texts)) for texts in sentences())
    rng.shuffle(examples)
    rng.shuffle(definitions)
    chosen = examples[:n_examples]
    counts = Counter(word for text in chosen for word in words_of(text))
    return [*chosen, *_bringing_words(definitions, n_definitions, counts)]


def _bringing_words(texts: Iterable[str], count: int, counts: Counter[str], enough: int = 3) -> Sequence[str]:
    """Return the first `count` texts that hold a word said fewer than `enough` times."""
    chosen: list[str] = []
    for text in texts:
        if len(chosen) == count:
            break
        words = words_of(text)
        if any(counts[word] < enough for word in words):
            counts.update(words)
            chosen.append(text)
    return chosen


def split_of(text: str, valid_percent: int = 3, test_percent: int = 5) -> str:
    """Return `train`, `valid` or `test`, fixed by a hash of the letters of `text`."""
    letters = "".join(c for c in text.lower() if c.isalnum() or c == " ")
    bucket = int.from_bytes(hashlib.sha256(letters.encode()).digest()[:4], "little") % 100
    if bucket < test_percent:
        return "test"
    return "valid" if bucket < test_percent + valid_percent else "train"
