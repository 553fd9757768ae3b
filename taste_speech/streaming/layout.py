"""How a conversation becomes rows of the spoken LM, in generation and in training.

A checkpoint trained with role tokens sees one unfused BOS row, then each segment as
[SEGMENT_START][ROLE][text tokens][SEGMENT_END]. Taste tokens lag by one word: that of word k is fused at
the first token of word k + 1 and stays on the rest of that word; that of the last word sits on SEGMENT_END.
SEGMENT_START, ROLE, the first word and everything in a text segment carry the pad embedding. A prompt ends
with a lone SEGMENT_START; the model answers with the role of who speaks next.

Worked example: the user says "the" (token a), "strawberry" (b0 b1), "ripens" (c); taste tokens C0 C1 C2.

    row   text           taste       next text       taste target
    0     BOS            unfused     SEGMENT_START   -
    1     SEGMENT_START  pad         USER            -
    2     USER           pad         a               -
    3     a              pad         b0              C0
    4     b0             C0          b1              -
    5     b1             C0          c               C1
    6     c              C1          SEGMENT_END     C2
    7     SEGMENT_END    C2          SEGMENT_START   -
    8     SEGMENT_START  pad         (next role)     -

The hidden state of a word's last token predicts the next text token and yields the word's taste token.

A checkpoint without role tokens gets a plain transcript instead: the text around each turn comes from
section `streaming.template`, and its tokens replace the special ones.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase

from taste_speech.audio_tower.quantizer import NO_TASTE
from taste_speech.configuration_taste import TasteConfig
from taste_speech.errors import CheckpointError
from taste_speech.spoken_lm.scoring import IGNORED
from taste_speech.streaming.configuration import TemplateConfig
from taste_speech.streaming.segment import ROLES, TASTESegment
from taste_speech.words import Word

NONE = -1
"""Index of no taste token (the pad embedding), and of a missing target."""


@dataclass(frozen=True)
class PromptFormat:
    """The tokens that structure a conversation for one checkpoint."""

    bos_id: int
    openings: dict[str, tuple[int, ...]]
    """Tokens before a segment's text, by role."""
    closings: dict[str, tuple[int, ...]]
    """Tokens after a segment's text, by role; the first carries the last word's taste token."""
    reply_opening: tuple[int, ...]
    """Tokens that end a prompt: SEGMENT_START, or the template's text before the assistant's turn."""
    role_ids: dict[str, int] | None
    """Token of each role; None for a checkpoint without role tokens."""
    special_ids: frozenset[int]
    vocab_size: int
    num_quantizers: int
    codebook_size: int

    @classmethod
    def from_config(cls, config: TasteConfig, llm_tokenizer: PreTrainedTokenizerBase) -> "PromptFormat":
        """Return the format that the checkpoint was trained with.

        Raises:
            CheckpointError: the tokenizer does not have a role token of the configuration.
        """
        quantizer = config.audio_tower_config.kwargs_for_quantizer
        sizes = {
            "bos_id": config.spoken_lm_config.sos_id,
            "special_ids": config.vocabulary.special_ids(config.text_config.vocab_size),
            "vocab_size": config.text_config.vocab_size,
            "num_quantizers": quantizer.num_quantizers,
            "codebook_size": quantizer.codebook_size,
        }
        if not config.streaming.trained_with_role_tokens:
            return cls(**_template_tokens(config.streaming.template, llm_tokenizer), **sizes)
        ids = {}
        for name, token in config.streaming.role_tokens.model_dump().items():
            ids[name] = llm_tokenizer.convert_tokens_to_ids(token)
            if ids[name] is None or ids[name] == llm_tokenizer.unk_token_id:
                raise CheckpointError(
                    f"the tokenizer has no token {token!r} (streaming.role_tokens.{name}); correct "
                    "config.json, or set streaming.trained_with_role_tokens to false"
                )
        return cls(
            openings={role: (ids["segment_start"], ids[role]) for role in ROLES},
            closings=dict.fromkeys(ROLES, (ids["segment_end"],)),
            reply_opening=(ids["segment_start"],),
            role_ids={role: ids[role] for role in ROLES},
            **sizes,
        )

    @property
    def segment_end_id(self) -> int | None:
        """SEGMENT_END; None for a checkpoint without role tokens."""
        return None if self.role_ids is None else self.closings["assistant"][0]

    def check(self, segment: TASTESegment) -> None:
        """Check a segment against the checkpoint's sizes.

        Raises:
            ValueError: ids out of range, special tokens in the text, or a wrong number of levels.
        """
        ids = {token for word in segment.words for token in word.ids}
        if ids and max(ids) >= self.vocab_size:
            raise ValueError(f"text_ids holds {max(ids)}; the ids end at {self.vocab_size - 1}")
        if special := self.special_ids & ids:
            raise ValueError(
                f"text_ids holds the special token {min(special)}; give plain text; "
                "the structure is added from the segments"
            )
        levels = self.num_quantizers if segment.taste_ids is None else segment.taste_ids.shape[2]
        if levels != self.num_quantizers:
            raise ValueError(f"taste_ids has {levels} levels; the checkpoint has {self.num_quantizers}")
        highest = max((code for word in segment.words for code in word.taste or ()), default=0)
        if highest >= self.codebook_size:
            raise ValueError(f"taste_ids holds {highest}; codes end at {self.codebook_size - 1}")


class Row(NamedTuple):
    """One input row of the spoken LM. All rows of a conversation but the first are fused."""

    text_id: int
    taste: tuple[int, ...] | None
    """Taste token fused with the text token; None for the pad embedding."""


@dataclass(frozen=True, eq=False)
class PromptRows:
    """A conversation as R rows with W taste tokens, for training.

    The taste embedding of row r is that of `tastes[taste_source[r]]`, or the pad embedding where the source
    is -1. Row 0 (BOS) is not fused.
    """

    text_ids: Tensor
    """(R,)"""
    taste_source: Tensor
    """(R,) index into `tastes`, or -1 for the pad embedding."""
    text_targets: Tensor
    """(R,) text id that the row predicts, or -1 on the last row."""
    taste_targets: Tensor
    """(R,) index into `tastes` of the taste token that the row's hidden state yields, or -1."""
    tastes: Tensor
    """(W, L) taste tokens of all words of audio segments, in order."""
    segment_index: Tensor
    """(R,) index of the row's segment, or -1 for BOS."""

    @property
    def row_tastes(self) -> Tensor:
        """Codes fused at each row (R, L), -1 for the pad embedding."""
        return gather_codes(self.tastes, self.taste_source)

    @property
    def target_tastes(self) -> Tensor:
        """Codes that each row yields (R, L), -1 without a target."""
        return gather_codes(self.tastes, self.taste_targets)

    def model_inputs(self, segments: Sequence[int] | None = None) -> dict[str, Tensor]:
        """Return the inputs of `TasteForCausalLM.forward`, without the batch axis; see `collate`.

        Args:
            segments: indices of the segments whose tokens are targets, such as the assistant's; None for all.
        """
        ours = torch.ones_like(self.text_ids, dtype=torch.bool)
        if segments is not None:
            ours = torch.isin(self.segment_index, torch.tensor(list(segments)))
        yielded = self.target_tastes.roll(1, 0)  # the label of the row that a taste token is fused at
        return {
            "input_ids": self.text_ids,
            "taste_ids": self.row_tastes,
            "labels": self.text_ids.where(ours, torch.tensor(IGNORED)),
            "taste_labels": yielded.where(ours[:, None], torch.tensor(NO_TASTE)),
        }


def rows(segments: Sequence[TASTESegment], fmt: PromptFormat) -> PromptRows:
    """Return the rows of a conversation with their targets, for training.

    Each row is a target of the previous one, whoever speaks. Weight the losses by `segment_index`; the
    targets of a row belong to the segment of the next row.
    """
    text_ids, source, targets, segment_index = [fmt.bos_id], [NONE], [NONE], [NONE]
    tastes: list[tuple[int, ...]] = []
    lagging = NONE
    for index, word in _words(segments, fmt):
        text_ids += word.ids
        source += [lagging] * len(word.ids)
        targets += [NONE] * len(word.ids)
        segment_index += [index] * len(word.ids)
        lagging = NONE
        if word.taste is not None:
            lagging = targets[-1] = len(tastes)
            tastes.append(word.taste)
    return PromptRows(
        text_ids=torch.tensor(text_ids),
        taste_source=torch.tensor(source),
        text_targets=torch.tensor([*text_ids[1:], NONE]),
        taste_targets=torch.tensor(targets),
        tastes=torch.tensor(tastes, dtype=torch.long).reshape(-1, fmt.num_quantizers),
        segment_index=torch.tensor(segment_index),
    )


_PADDING = {"input_ids": 0, "taste_ids": NO_TASTE, "labels": IGNORED, "taste_labels": NO_TASTE}


def collate(conversations: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Pad the results of `PromptRows.model_inputs` to one batch; a `data_collator` for `Trainer`."""
    return {
        name: pad_sequence([inputs[name] for inputs in conversations], batch_first=True, padding_value=value)
        for name, value in _PADDING.items()
    }


def row_list(segments: Sequence[TASTESegment], fmt: PromptFormat) -> list[Row]:
    """Return the rows of a conversation, BOS first, without the reply opening."""
    output = [Row(fmt.bos_id, None)]
    lagging: tuple[int, ...] | None = None
    for _, word in _words(segments, fmt):
        output += [Row(token, lagging) for token in word.ids]
        lagging = word.taste
    return output


def _words(segments: Sequence[TASTESegment], fmt: PromptFormat) -> Iterator[tuple[int, Word]]:
    """Yield structural tokens and words in order, each with the index of its segment."""
    for index, segment in enumerate(segments):
        fmt.check(segment)
        around = (fmt.openings[segment.role], fmt.closings[segment.role])
        opening, closing = (Word(ids=tokens) for tokens in around)
        for word in (opening, *segment.words, closing):
            if word.ids:
                yield index, word


def gather_codes(tastes: Tensor, index: Tensor) -> Tensor:
    """Return the codes (R, L) of `tastes` (W, L) at `index` (R,), -1 where the index is -1."""
    return torch.cat([tastes.new_full((1, tastes.shape[1]), NO_TASTE), tastes])[index + 1]


def _template_tokens(template: TemplateConfig, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """Return the format's tokens from the template; words have their own leading space."""
    openings, closings = {}, {}
    for role in ROLES:
        before, found, after = getattr(template, role).partition("{text}")
        if not found or not after:
            raise CheckpointError(
                f"streaming.template.{role} is {before + after!r}; it needs {{text}} with something "
                "after it, such as a line break"
            )
        openings[role] = tuple(tokenizer.encode(before.rstrip(" "), add_special_tokens=False))
        closings[role] = tuple(tokenizer.encode(after, add_special_tokens=False))
    return {
        "openings": openings,
        "closings": closings,
        "reply_opening": openings["assistant"],
        "role_ids": None,
    }
