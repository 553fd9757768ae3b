"""Talks of the corpus as rows of the spoken LM, in the layout of `taste_speech.streaming.layout`."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from taste_speech.streaming.layout import NONE, PromptFormat, rows
from taste_speech.streaming.segment import TASTESegment
from taste_speech.training.corpus.dialogues import Talk, Turn
from taste_speech.words import Word

Codes = tuple[int, ...]
ROLE_WEIGHT = 3.0
"""Of the one token that decides whether the assistant speaks; an answer has a dozen others."""


class TasteSource(Protocol):
    """Where the taste tokens of a turn come from."""

    def codes(
        self, role: str, words: Sequence[str], rng: random.Random, manner: str = ""
    ) -> list[Codes | None]:
        """One taste token for each word, None where there is none."""


class NoTaste:
    """No taste tokens: every word carries the pad embedding."""

    def codes(
        self, role: str, words: Sequence[str], rng: random.Random, manner: str = ""
    ) -> list[Codes | None]:
        """None for each word."""
        return [None] * len(words)


@dataclass(frozen=True)
class TalkRows:
    """One talk with its targets; as `PromptRows`, with weights.

    Attributes:
        text_ids, taste_source, text_targets, taste_targets: (rows,).
        text_weights: (rows,) weight of each text target.
        tastes: (words, levels).
    """

    text_ids: Tensor
    taste_source: Tensor
    text_targets: Tensor
    text_weights: Tensor
    taste_targets: Tensor
    tastes: Tensor


class TalkEncoder:
    """Turns talks into rows.

    Args:
        fmt: prompt format of the checkpoint.
        tokenizer: its LLM tokenizer.
        tastes: taste tokens of spoken turns.
        other_weight: weight of text targets that are not the assistant's.
    """

    def __init__(
        self,
        fmt: PromptFormat,
        tokenizer: Any,
        tastes: TasteSource,
        other_weight: float = 0.1,
    ) -> None:
        self.fmt, self.tokenizer, self.tastes = fmt, tokenizer, tastes
        self.other_weight = other_weight
        self._pieces: dict[str, tuple[int, ...]] = {}

    def word_ids(self, word: str) -> tuple[int, ...]:
        """LLM tokens of a word, with its leading space."""
        if word not in self._pieces:
            ids = self.tokenizer(f" {word}", add_special_tokens=False)["input_ids"]
            self._pieces[word] = tuple(ids)
        return self._pieces[word]

    @staticmethod
    def words(turn: Turn) -> list[str]:
        """Words of a turn as the model gets them: spoken ones as recognized, cut ones as far as heard."""
        return (turn.text if turn.recognized is None else turn.recognized).split()[: turn.cut_at_word]

    def segment(self, turn: Turn, rng: random.Random) -> TASTESegment:
        """The segment of a turn."""
        words = self.words(turn)
        ids = [self.word_ids(word) for word in words]
        if turn.modality == "text":
            flat = [token for word in ids for token in word]
            return TASTESegment(turn.role, "text", torch.tensor([flat], dtype=torch.long))
        codes = self.tastes.codes(turn.role, words, rng, turn.manner)
        spoken = [Word(ids=word, taste=code) for word, code in zip(ids, codes, strict=True) if word]
        return TASTESegment.from_words(turn.role, spoken, self.fmt.num_quantizers)

    def rows(self, talk: Talk, rng: random.Random) -> TalkRows:
        """All rows of a talk with targets and weights."""
        turns = list(talk.turns)
        segments = [self.segment(turn, rng) for turn in turns]
        silent = not turns[-1].finished
        if silent:
            # The role that answers an unfinished turn is the user's; what follows it is no target.
            segments.append(TASTESegment("user", "text", torch.zeros(1, 0, dtype=torch.long)))
        laid = rows(segments, self.fmt)
        ends = {index for index, turn in enumerate(turns) if turn.cut_at_word is not None}
        weights = torch.zeros(len(laid.text_ids))
        taste_targets = laid.taste_targets.clone()
        belongs = [*laid.segment_index[1:].tolist(), NONE]
        for row, (segment, target) in enumerate(zip(belongs, laid.text_targets.tolist(), strict=True)):
            weights[row] = self._weight(segment, target, turns, ends)
            own = int(laid.segment_index[row])
            if own == NONE or own >= len(turns) or turns[own].role != "assistant":
                taste_targets[row] = NONE
        return TalkRows(
            laid.text_ids, laid.taste_source, laid.text_targets, weights, taste_targets, laid.tastes
        )

    def _weight(self, segment: int, target: int, turns: list[Turn], cut: set[int]) -> float:
        roles = self.fmt.role_ids or {}
        if segment == NONE or target == NONE:
            return 0.0
        if segment >= len(turns):  # after an unfinished turn only the role counts
            return ROLE_WEIGHT if target == roles.get("user") else 0.0
        if target in roles.values():
            after_user = segment > 0 and turns[segment - 1].role == "user"
            return ROLE_WEIGHT if after_user else self.other_weight
        if turns[segment].role != "assistant" or target == self.fmt.reply_opening[0]:
            return self.other_weight
        is_end = target == self.fmt.segment_end_id
        # Where somebody broke in is not where the assistant would have ended.
        return 0.0 if is_end and segment in cut else 1.0
