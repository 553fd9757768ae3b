"""How words are said: rows of words with the phones that flite's lexicon gives them."""

import json
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor
from transformers import AutoTokenizer

from taste_speech.training.batching import pad_ids
from taste_speech.training.config import StageContext
from taste_speech.training.corpus.dialogues.talks import make_talks
from taste_speech.training.corpus.sentences import general_sentences
from taste_speech.training.word_times import PAUSE, PHONES, pronunciations

_TALKS, _SENTENCES, _SEED = 4000, 6000, 7
_FEWEST_WORDS, _MOST_WORDS = 2, 8


class Spelling:
    """Random rows of words for `TasteAutoencoder.spelling_loss`.

    Args:
        words: ASR tokens and phone numbers of each word.
        rows: of a batch.
    """

    def __init__(self, words: Sequence[tuple[list[int], list[int]]], rows: int = 24) -> None:
        self.words, self.rows = list(words), rows

    @classmethod
    def of_dialogues(cls, context: StageContext, voice: str) -> Self:
        """The words of the dialogue text and the general sentences; kept in a file."""
        path = context.folder("autoencoder") / "lexicon.json"
        if path.exists():
            return cls(json.loads(path.read_text()))
        turns = [turn.text for talk in make_talks(_TALKS, _SEED, "train") for turn in talk.turns]
        texts = [*turns, *general_sentences(_SENTENCES, _SEED)]
        vocabulary = sorted({word for text in texts for word in text.split()})
        tokenizer = AutoTokenizer.from_pretrained(context.folder("tokenizers") / "asr")
        words = cls.spelled(pronunciations(vocabulary, voice), tokenizer)
        path.write_text(json.dumps(words))
        return cls(words)

    @staticmethod
    def spelled(lexicon: dict[str, list[str]], tokenizer: Any) -> list[tuple[list[int], list[int]]]:
        """ASR tokens and phone numbers of each word that has phones."""
        words = []
        for word, phones in lexicon.items():
            numbers = [PHONES.index(phone) for phone in phones if phone in PHONES and phone != PAUSE]
            if numbers:
                ids = tokenizer(f" {word}", add_special_tokens=False)["input_ids"]
                words.append((ids, numbers))
        return words

    def batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor, list[list[int]]]:
        """Token ids (rows, tokens), token counts (rows,) and the phones of each row."""
        ids, phones = [], []
        for _ in range(self.rows):
            count = int(torch.randint(_FEWEST_WORDS, _MOST_WORDS + 1, (), generator=generator))
            chosen = torch.randint(len(self.words), (count,), generator=generator).tolist()
            ids.append([token for index in chosen for token in self.words[index][0]])
            phones.append([phone for index in chosen for phone in self.words[index][1]])
        return pad_ids(ids, 0), torch.tensor([len(row) for row in ids]), phones
