"""Words and their tokens: text -> words -> both tokenizers, and LLM token ids -> words.

The two tokenizers cut text differently; words are what they share, and each word has one taste token.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from taste_speech.errors import TextError


@dataclass(frozen=True, slots=True)
class Word:
    """A word, as it is read, generated, spoken, played or heard; what is not known of it is left out.

    Attributes:
        text: without blanks around it; may be empty for a token that is only blanks.
        ids: its tokens: of the LLM, or the ASR tokens for the unit decoder.
        taste: its taste token (L codes); None for text that has none.
        start, end: its place in what it is part of: tokens of a sequence, units of a chunk, samples of a
            reply or of a session. The end is one past its last one.
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
    """Words of a text, or the given words themselves, without blanks around them.

    Unlike the published model's code, doubled blanks do not make an empty word.

    Raises:
        TextError: there are none, or some that are no Unicode text (as bytes of another encoding become).
    """
    parts = [text] if isinstance(text, str) else list(text)
    words = [word for part in parts for word in part.split()]
    if not words:
        raise TextError("the text is empty; give at least one word")
    for word in words:
        if any("\ud800" <= letter <= "\udfff" for letter in word):
            raise TextError(f"the word {word!a} is not Unicode text; give it in UTF-8")
    return words


def tokenize_words(tokenizer: Any, words: Iterable[str]) -> WordTokens:
    """Encode each word on its own, with one leading blank (also the first), without special tokens.

    Raises:
        TextError: a word contains one of the tokenizer's special tokens.
    """
    token_ids: list[int] = []
    word_ids: list[int] = []
    special = special_ids(tokenizer) - {tokenizer.unk_token_id}
    for index, word in enumerate(words):
        ids = tokenizer.encode(f" {word}", add_special_tokens=False)
        if special.intersection(ids):
            raise TextError(f"the word {word!r} contains a special token; remove it from the text")
        token_ids += ids
        word_ids += [index] * len(ids)
    return WordTokens(token_ids, word_ids)


def llm_ids_to_words(tokenizer: Any, token_ids: Sequence[int]) -> list[Word]:
    """Group LLM ids into words: a token whose text starts with a blank starts one, and so does the first.

    Raises:
        TextError: an id is special or outside the vocabulary.
    """
    _check_ids(tokenizer, token_ids)
    starts = [
        index for index, text in enumerate(token_texts(tokenizer, token_ids)) if starts_word(index, text)
    ]
    words = []
    for start, end in pairwise([*starts, len(token_ids)]):
        ids = tuple(int(i) for i in token_ids[start:end])
        words.append(Word(decode(tokenizer, ids).strip(), ids, start=start, end=end))
    return words


def starts_word(index: int, token_text: str) -> bool:
    """Whether the token at `index` of a sequence begins a word."""
    return index == 0 or token_text.startswith(" ")


def token_texts(tokenizer: Any, token_ids: Sequence[int]) -> list[str]:
    """Text of each id by itself, blanks as they are."""
    return [decode(tokenizer, [int(i)]) for i in token_ids]


def decode(tokenizer: Any, token_ids: Sequence[int]) -> str:
    """Text of the ids, blanks as they are.

    A tokenizer's own clean-up would join `" ."` to the word before it and so lose a word start.
    """
    return str(tokenizer.decode(list(token_ids), clean_up_tokenization_spaces=False))


def special_ids(tokenizer: Any) -> frozenset[int]:
    """Ids of all special tokens, also those that the tokenizer lists only as added tokens."""
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
