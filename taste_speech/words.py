"""Words and their tokens: text -> words -> both tokenizers, LLM ids -> words, words -> phonemes.

The two tokenizers split text differently. Words are what they share, and each word has one taste token.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import chain, islice, pairwise
from typing import Any

from taste_speech.errors import CheckpointError, TextError
from taste_speech.phones import MARKED_PHONES, marked_phones

_MAX_CACHED_WORDS = 20_000


@dataclass(frozen=True, slots=True)
class Word:
    """A word that is read, generated, spoken, played or heard; fields that are unknown keep their defaults.

    Attributes:
        text: without surrounding spaces; empty for a token that consists of spaces only.
        ids: its tokens: LLM ids, or the ASR tokens for the speech decoder.
        taste: its taste token (L codes); None if it has none.
        start, end: its position in its context: tokens of a sequence, units of a chunk, or samples of a
            reply or session. `end` is exclusive.
    """

    text: str = ""
    ids: tuple[int, ...] = ()
    taste: tuple[int, ...] | None = None
    start: int = 0
    end: int = 0


@dataclass(frozen=True)
class WordTokens:
    """Token ids of a list of words and, for each token, the index of its word."""

    token_ids: list[int]
    word_ids: list[int]


def split_words(text: str | Sequence[str]) -> list[str]:
    """Return the words of a text, or the given words, without surrounding spaces.

    Unlike in the published code, two spaces in a row do not create an empty word.

    Raises:
        TextError: the text is empty, or it contains surrogates, as undecodable bytes become.
    """
    parts = [text] if isinstance(text, str) else text
    words = [word for part in parts for word in part.split()]
    if not words:
        raise TextError("the text is empty; give at least one word")
    for word in words:
        if any("\ud800" <= letter <= "\udfff" for letter in word):
            raise TextError(f"the word {word!a} is not Unicode text; give it in UTF-8")
    return words


def tokenize_words(tokenizer: Any, words: Iterable[str], before: Iterable[str] = ()) -> WordTokens:
    """Encode each word separately, with one leading space and without special tokens.

    Args:
        before: the words before these; only a `PhoneTokenizer` reads them.

    Raises:
        TextError: a word contains one of the tokenizer's special tokens.
    """
    if isinstance(tokenizer, PhoneTokenizer):
        return tokenizer.tokens(list(words), list(before))
    tokens = WordTokens([], [])
    special = special_ids(tokenizer) - {tokenizer.unk_token_id}
    for index, word in enumerate(words):
        ids = tokenizer.encode(f" {word}", add_special_tokens=False)
        if special.intersection(ids):
            raise TextError(f"the word {word!r} contains a special token; remove it from the text")
        tokens.token_ids.extend(ids)
        tokens.word_ids.extend([index] * len(ids))
    return tokens


def llm_ids_to_words(tokenizer: Any, token_ids: Sequence[int]) -> list[Word]:
    """Group LLM ids into words; see `starts_word`.

    Raises:
        TextError: an id is special or outside the vocabulary.
    """
    _check_ids(tokenizer, token_ids)
    ids = [int(i) for i in token_ids]
    starts = [index for index, i in enumerate(ids) if starts_word(index, decode(tokenizer, [i]))]
    return [
        Word(decode(tokenizer, ids[start:end]).strip(), tuple(ids[start:end]), start=start, end=end)
        for start, end in pairwise([*starts, len(ids)])
    ]


def starts_word(index: int, token_text: str) -> bool:
    """Return whether the token at `index` of a sequence begins a word: the first one, or after a space."""
    return index == 0 or token_text.startswith(" ")


def decode(tokenizer: Any, token_ids: Sequence[int]) -> str:
    """Return the text of the ids, with its spaces.

    The tokenizer's own clean-up is disabled: it would join `" ."` to the word before and lose a word start.
    """
    return str(tokenizer.decode(list(token_ids), clean_up_tokenization_spaces=False))


def special_ids(tokenizer: Any) -> frozenset[int]:
    """Return the ids of all special tokens, including those listed only among the added tokens."""
    added = getattr(tokenizer, "added_tokens_decoder", {})
    return frozenset(tokenizer.all_special_ids) | {i for i, token in added.items() if token.special}


def _check_ids(tokenizer: Any, token_ids: Sequence[int]) -> None:
    special, size = special_ids(tokenizer), len(tokenizer)
    for position, token_id in enumerate(token_ids):
        if not 0 <= token_id < size:
            raise TextError(
                f"text id {int(token_id)} at position {position} is outside the vocabulary; "
                f"allowed are 0 to {size - 1}"
            )
        if int(token_id) in special:
            raise TextError(
                f"text id {int(token_id)} at position {position} is the special token "
                f"{tokenizer.convert_ids_to_tokens(int(token_id))!r}; give the ids of plain text only"
            )


@lru_cache(_MAX_CACHED_WORDS)
def pronounced(word: str) -> str:
    """Return the phonemes of a word in misaki's alphabet, with stress marks and punctuation.

    The dictionary, and the model for words that it lacks, come from the package `hibari-tts`.

    Raises:
        CheckpointError: the package is missing.
    """
    return "".join(_g2p()(word).split())


def pronounced_words(words: Sequence[str]) -> list[str]:
    """Return the phonemes of each word of a sentence, as `pronounced` does, said as its neighbors ask.

    "The" differs before a vowel, "live" and "used" by what is around them, and only alone is "in" stressed.

    Raises:
        CheckpointError: the package is missing.
    """
    try:
        return pronounced_text(" ".join(words))
    except ValueError:
        return [pronounced(word) for word in words]


def pronounced_text(text: str) -> list[str]:
    """Return the phonemes of each word of a text; see `pronounced_words`.

    Raises:
        ValueError: a word is said as several, such as a number.
        CheckpointError: the package is missing.
    """
    found = [""]
    for token in _g2p().phonemize_tokens(_g2p().tokenize(text)):
        found[-1] += token.phonemes or ""
        if token.whitespace:
            found.append("")
    if len(found) != len(text.split()) or any(" " in word.strip() for word in found):
        raise ValueError(f"{text!r} is not said word by word; write numbers and signs as words")
    return [word.strip() for word in found]


@cache
def _g2p() -> Any:
    try:
        from hibari.g2p import G2P
    except ImportError as error:
        raise CheckpointError(
            "this checkpoint reads phonemes, and the package that pronounces words is missing; run: "
            "pip install hibari-tts"
        ) from error
    g2p = G2P()
    g2p("brillig")  # loads the network for words that the dictionary lacks, rather than during a reply
    return g2p


class PhoneTokenizer:
    """An ASR tokenizer of marked phones (`taste_speech.phones`): those that words are pronounced with."""

    unk_token_id = None
    all_special_ids: tuple[int, ...] = ()

    def __len__(self) -> int:
        return MARKED_PHONES

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        """Return the tokens of a text."""
        return self.tokens(text.split()).token_ids

    def tokens(self, words: Sequence[str], before: Sequence[str] = ()) -> WordTokens:
        """Return the tokens of words, each of which may be said as several.

        A word without a sound is a pause.

        Args:
            words: as they are read aloud.
            before: the words before these, which may change how they are pronounced.
        """
        said = [word.split() for word in chain(before, words)]
        pronounced = iter(pronounced_words(list(chain(*said))))
        each = ["".join(islice(pronounced, len(parts))) for parts in said][len(before) :]
        tokens = WordTokens([], [])
        for index, word in enumerate(each):
            ids = marked_phones(word) or [0]
            tokens.token_ids.extend(ids)
            tokens.word_ids.extend([index] * len(ids))
        return tokens
