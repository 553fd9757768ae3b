"""Talks of the corpus as rows of the spoken LM, see `taste_speech.streaming.layout`, and their losses."""

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from accelerate.utils import send_to_device
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from taste_speech.audio_tower.quantizer import NO_TASTE, ResidualQuantizer
from taste_speech.spoken_lm.language_model import SpokenLM
from taste_speech.spoken_lm.scoring import RowTargets, embed_rows, score_rows
from taste_speech.streaming.layout import NONE, PromptFormat, gather_codes, rows
from taste_speech.streaming.segment import TASTESegment
from taste_speech.training.corpus.audio_store import AudioStore, Clip
from taste_speech.training.corpus.dialogues.turns import Talk, Turn
from taste_speech.training.corpus.reply_voice import Manner, manner_of
from taste_speech.words import Word

ROLE_WEIGHT = 3.0
"""Weight of the one token that decides whether the assistant speaks; its answer has a dozen others."""
PACES = {"slow": (0.0, 0.8), "": (0.9, 1.1), "fast": (1.25, 9.0)}
"""Slowest and fastest rate of the recordings for each manner of a `Turn`."""


class TasteBank:
    """Draws the taste tokens of a recording in which a text, or else each word, is said in the wanted manner.

    Args:
        spoken: recordings with their taste tokens (words, levels).
        others: for words that are not said in these.
    """

    def __init__(self, spoken: Iterable[tuple[Clip, Tensor]] = (), others: Self | None = None) -> None:
        self._others = others
        self._known: dict[tuple[str, str], list[tuple[int, ...]]] = defaultdict(list)
        self._texts: dict[tuple[str, str], list[list[tuple[int, ...]]]] = defaultdict(list)
        for clip, ids in spoken:
            manners = [name for name, (low, high) in PACES.items() if low <= clip.rate <= high]
            for manner in manners:
                self._texts[manner, clip.text].append([tuple(row) for row in ids.tolist()])
            for word, row in zip(clip.text.split(), ids.tolist(), strict=True):
                for manner in manners:
                    self._known[manner, word].append(tuple(row))
                    if word != _bare(word):
                        self._known[manner, _bare(word)].append(tuple(row))

    @classmethod
    def of_stores(
        cls, stores: Sequence[AudioStore], ids: Mapping[str, Tensor], plain_first: bool = False
    ) -> Self:
        """Take the training clips of these stores.

        Args:
            stores: of recordings.
            ids: taste tokens (words, levels) by clip.
            plain_first: whether clips that are plain but for their pace come before all others.
        """
        clips = [(c, ids[c.id]) for store in stores for c in store if c.split == "train" and c.id in ids]
        if not plain_first:
            return cls(clips)
        plain = [manner_of(clip) == Manner(clip.rate) for clip, _ in clips]
        others = cls(each for each, is_plain in zip(clips, plain, strict=True) if not is_plain)
        return cls((each for each, is_plain in zip(clips, plain, strict=True) if is_plain), others)

    def codes(
        self, words: Sequence[str], rng: random.Random, manner: str = ""
    ) -> list[tuple[int, ...] | None]:
        """Return a taste token for each word, None where it was never said in this manner."""
        manner = manner if manner in PACES else ""
        if whole := self._texts.get((manner, " ".join(words))):
            return list(rng.choice(whole))
        return [rng.choice(choices) if (choices := self._said(manner, word)) else None for word in words]

    def _said(self, manner: str, word: str) -> list[tuple[int, ...]] | None:
        found = self._known.get((manner, word)) or self._known.get((manner, _bare(word)))
        return found or (self._others._said(manner, word) if self._others is not None else None)


def _bare(word: str) -> str:
    return word.rstrip(".,?!").lower()


@dataclass(frozen=True)
class TalkRows:
    """One talk with its targets; as `PromptRows`, with weights."""

    text_ids: Tensor  # (rows,)
    taste_source: Tensor  # (rows,)
    text_targets: Tensor  # (rows,)
    text_weights: Tensor  # (rows,) weight of each text target
    taste_targets: Tensor  # (rows,)
    tastes: Tensor  # (words, levels)


class TalkEncoder:
    """Turns talks into rows.

    Args:
        fmt: prompt format of the checkpoint.
        tokenizer: its LLM tokenizer.
        tastes: taste tokens of what the assistant says.
        heard: those of what people say, one bank for each kind of voice; empty: the same.
        other_weight: weight of text targets that are not the assistant's.
    """

    def __init__(
        self,
        fmt: PromptFormat,
        tokenizer: Any,
        tastes: TasteBank,
        heard: Sequence[TasteBank] = (),
        other_weight: float = 0.1,
    ) -> None:
        self.fmt, self.tokenizer, self.tastes, self.heard = fmt, tokenizer, tastes, heard or [tastes]
        self.other_weight = other_weight
        self._pieces: dict[str, tuple[int, ...]] = {}

    def word_ids(self, word: str) -> tuple[int, ...]:
        """Return the LLM tokens of a word, with its leading space."""
        if word not in self._pieces:
            self._pieces[word] = tuple(self.tokenizer(f" {word}", add_special_tokens=False)["input_ids"])
        return self._pieces[word]

    @staticmethod
    def words(turn: Turn) -> list[str]:
        """Return the words that the model gets: as recognized if spoken, as far as heard if cut off."""
        return (turn.text if turn.recognized is None else turn.recognized).split()[: turn.cut_at_word]

    def segment(self, turn: Turn, rng: random.Random) -> TASTESegment:
        """Return the segment of a turn."""
        words = self.words(turn)
        ids = [self.word_ids(word) for word in words]
        if turn.modality == "text":
            flat = [token for word in ids for token in word]
            return TASTESegment(turn.role, "text", torch.tensor([flat], dtype=torch.long))
        codes: Sequence[tuple[int, ...] | None] | None = turn.tastes
        if codes is None:
            bank = self.tastes if turn.role == "assistant" else rng.choice(self.heard)
            codes = bank.codes(words, rng, turn.manner)
        spoken = [Word(ids=word, taste=code) for word, code in zip(ids, codes, strict=True) if word]
        return TASTESegment.from_words(turn.role, spoken, self.fmt.num_quantizers)

    def rows(self, talk: Talk, rng: random.Random) -> TalkRows:
        """Return all rows of a talk with targets and weights."""
        turns = list(talk.turns)
        segments = [self.segment(turn, rng) for turn in turns]
        if not turns[-1].finished:
            # An unfinished turn is to be continued by the user; nothing after that role is a target.
            segments.append(TASTESegment("user", "text", torch.zeros(1, 0, dtype=torch.long)))
        laid = rows(segments, self.fmt)
        belongs = [*laid.segment_index[1:].tolist(), NONE]
        weights = [
            self._weight(segment, target, turns)
            for segment, target in zip(belongs, laid.text_targets.tolist(), strict=True)
        ]
        assistants = [index for index, turn in enumerate(turns) if turn.role == "assistant"]
        learned = torch.isin(laid.segment_index, torch.tensor(assistants, dtype=torch.long))
        return TalkRows(
            laid.text_ids,
            laid.taste_source,
            laid.text_targets,
            torch.tensor(weights),
            laid.taste_targets.where(learned, NONE),
            laid.tastes,
        )

    def _weight(self, segment: int, target: int, turns: list[Turn]) -> float:
        roles = self.fmt.role_ids or {}
        if segment == NONE or target == NONE:
            return 0.0
        if segment >= len(turns):  # after an unfinished turn
            return ROLE_WEIGHT if target == roles.get("user") else 0.0
        if target in roles.values():
            after_user = segment > 0 and turns[segment - 1].role == "user"
            return ROLE_WEIGHT if after_user else self.other_weight
        if turns[segment].role != "assistant" or target == self.fmt.reply_opening[0]:
            return self.other_weight
        # The assistant would not have ended where it was interrupted.
        interrupted = turns[segment].cut_at_word is not None
        return 0.0 if interrupted and target == self.fmt.segment_end_id else 1.0


def talk_losses(
    lm: SpokenLM,
    quantizer: ResidualQuantizer,
    talks: Sequence[TalkRows],
    label_smoothing: float,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Return the text cross-entropy and the taste loss of samples, without their weights.

    `talks` may be on any device; `generator` is a CPU generator.
    """

    def padded(of_talks: Sequence[Tensor], value: float = 0) -> Tensor:
        batch = pad_sequence(list(of_talks), batch_first=True, padding_value=value)
        return send_to_device(batch, lm.pad_audio_unit_embed.device)

    inputs = embed_rows(
        lm,
        quantizer,
        padded([talk.text_ids for talk in talks]),
        padded([gather_codes(talk.tastes, talk.taste_source) for talk in talks], NO_TASTE),
    )
    targets = RowTargets(
        padded([talk.text_targets for talk in talks]),
        padded([talk.text_weights for talk in talks]),
        padded([gather_codes(talk.tastes, talk.taste_targets) for talk in talks], NO_TASTE),
    )
    output = score_rows(
        lm,
        quantizer,
        inputs,
        targets,
        label_smoothing=label_smoothing,
        sample=True,
        targets_only=True,
        generator=generator,
    )
    losses = {"text": output.text_loss, "taste": output.taste_loss}
    return {name: loss for name, loss in losses.items() if loss is not None}
