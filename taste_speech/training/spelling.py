"""How words are said: rows of words with the phones that the reply voice's dictionary gives them."""

from collections.abc import Iterable, Sequence
from typing import Any, Self

import torch
from torch import Tensor
from transformers import AutoTokenizer

from taste_speech.training.aligned_utterance import AlignedUtterance
from taste_speech.training.batching import pad_ids
from taste_speech.training.config import StageContext
from taste_speech.training.corpus import phones
from taste_speech.training.corpus.reply_texts import is_held_out, words_of
from taste_speech.training.corpus.reply_voice import ReplyVoice

_FEWEST_WORDS, _MOST_WORDS = 2, 8
Spelled = tuple[list[int], list[int]]
"""ASR tokens and phone numbers of a word."""


class Spelling:
    """Random rows of words for `TasteAutoencoder.spelling_loss`.

    Args:
        words: all of them.
        common: those that the voice is heard to say; half of each row is drawn from them.
        rows: of a batch.
    """

    def __init__(self, words: Sequence[Spelled], common: Sequence[Spelled] = (), rows: int = 24) -> None:
        self.words, self.common, self.rows = list(words), list(common) or list(words), rows

    @classmethod
    def of_lexicon(cls, context: StageContext, said: Iterable[AlignedUtterance]) -> Self:
        """The reply voice's dictionary but for the words held out; those in `said` are common."""
        tokenizer = AutoTokenizer.from_pretrained(context.folder("tokenizers") / "asr")
        lexicon = {word: said for word, said in ReplyVoice.lexicon().items() if not is_held_out(word)}
        spelled = cls.spelled(lexicon, tokenizer)
        heard = {word for item in said for word in words_of(item.text)}
        return cls(list(spelled.values()), [spelled[word] for word in sorted(heard) if word in spelled])

    @staticmethod
    def spelled(lexicon: dict[str, str], tokenizer: Any) -> dict[str, Spelled]:
        """ASR tokens and phone numbers of each word of a dictionary."""
        ids = tokenizer([f" {word}" for word in lexicon], add_special_tokens=False)["input_ids"]
        return {
            word: (own, phones.numbers(said)) for own, (word, said) in zip(ids, lexicon.items(), strict=True)
        }

    def batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor, list[list[int]]]:
        """Token ids (rows, tokens), token counts (rows,) and the phones of each row."""
        ids, said = [], []
        for _ in range(self.rows):
            count = int(torch.randint(_FEWEST_WORDS, _MOST_WORDS + 1, (), generator=generator))
            row = [self._draw(generator) for _ in range(count)]
            ids.append([token for tokens, _ in row for token in tokens])
            said.append([phone for _, numbers in row for phone in numbers])
        return pad_ids(ids, 0), torch.tensor([len(row) for row in ids]), said

    def _draw(self, generator: torch.Generator) -> Spelled:
        words = self.common if torch.rand((), generator=generator) < 0.5 else self.words
        return words[int(torch.randint(len(words), (), generator=generator))]
