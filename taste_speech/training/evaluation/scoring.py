"""Scores of replies, transcripts and sounds: pure functions of text and numbers."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import jiwer
import numpy as np
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

from taste_speech.training.corpus.dialogues.turns import HANGING

LONGEST_REPLY_WORDS = 30
_DRAWS = 4000
"""Number of bootstrap draws, whose seed is fixed."""
_LIKE_WHISPER = EnglishTextNormalizer({})
_NOT_SAID = re.compile(r"[^a-zA-Z .,?!;:'’\"—–-]|\n|--|^\s*-")
_SMALL_WORDS = HANGING | {
    *("you", "they", "them", "her", "there", "then", "like", "here", "that's", "it's", "don't", "does"),
    *("did", "let", "get", "got", "one", "sounds", "okay", "yes"),
}


def norm(text: str) -> str:
    """Return `text` as the patterns expect it: lowercase, without accents, digits and punctuation."""
    text = unicodedata.normalize("NFKD", text.lower().replace("’", "'"))
    text = "".join(letter for letter in text if not unicodedata.combining(letter))
    return " ".join(re.sub(r"[^a-z' ]+", " ", text).split())


def accepts(pattern: str, answer: str) -> bool:
    """Return whether an answer matches `pattern`."""
    return bool(answer) and re.search(pattern, norm(answer)) is not None


def content_words(text: str) -> set[str]:
    """Return the content words of a text."""
    return {word for word in norm(text).split() if len(word) > 2} - _SMALL_WORDS


def pattern_of_reference(question: str, reference: str) -> str:
    """Return the pattern of answers that share a content word with `reference` but not with the question."""
    words = sorted(content_words(reference) - content_words(question))
    return rf"\b(?:{'|'.join(words)})\b" if words else norm(reference)


class Errors(NamedTuple):
    """Number of word errors of one text, and of its words."""

    wrong: int
    words: int


def word_errors(reference: str, heard: str) -> Errors:
    """Count the errors of a transcript after the text normalization of Whisper's own evaluation."""
    expected, given = _LIKE_WHISPER(reference), _LIKE_WHISPER(heard)
    if not expected:
        return Errors(len(given.split()), 0)
    counts = jiwer.process_words(expected, given)
    return Errors(counts.substitutions + counts.deletions + counts.insertions, len(expected.split()))


def error_rate(errors: Sequence[Errors]) -> float:
    """Return the word error rate of all texts together, in percent."""
    return 100 * sum(e.wrong for e in errors) / max(1, sum(e.words for e in errors))


class Difference(NamedTuple):
    """A paired difference and its upper 95 % bound."""

    value: float
    upper: float


def paired_difference(
    ours: Sequence[float], natural: Sequence[float], weights: Sequence[float] | None = None
) -> Difference:
    """Return how far the total of `ours` exceeds that of `natural`, per weight, by bootstrap over texts.

    Args:
        ours: a figure of each text, for example its word errors.
        natural: the same for the natural voice.
        weights: of each text, for example its words; None: 1, so that the result is a mean.
    """
    difference = np.asarray(ours, float) - np.asarray(natural, float)
    weight = np.ones(len(difference)) if weights is None else np.asarray(weights, float)
    drawn = np.random.default_rng(0).integers(len(difference), size=(_DRAWS, len(difference)))
    means = difference[drawn].sum(1) / np.maximum(weight[drawn].sum(1), 1e-9)
    return Difference(float(difference.sum() / max(weight.sum(), 1e-9)), float(np.percentile(means, 95)))


def is_speakable(text: str) -> bool:
    """Return whether a reply can be read aloud as it is: words without digits, markup and lists."""
    return bool(norm(text)) and _NOT_SAID.search(text) is None


def is_short(text: str) -> bool:
    """Return whether a reply has at most 30 words."""
    return len(text.split()) <= LONGEST_REPLY_WORDS


def most_repeats(text: str) -> int:
    """Return how often the most frequent sentence of a text occurs."""
    sentences = filter(None, map(norm, re.split(r"[.?!]+", text)))
    return max(Counter(sentences).values(), default=0)


def is_said_as(said: str, accepted: Sequence[str]) -> bool:
    """Return whether a spoken form is one of those accepted; single letters may be joined (f b i = fbi)."""
    return _joined_letters(norm(said)) in {_joined_letters(norm(text)) for text in accepted}


def _joined_letters(text: str) -> str:
    return re.sub(r"\b(?:[a-z] )+[a-z]\b", lambda match: match.group().replace(" ", ""), text)


def percent(hits: Sequence[bool]) -> float:
    """Return the share of True in percent; 0 for an empty sequence."""
    return 100 * sum(hits) / max(1, len(hits))
