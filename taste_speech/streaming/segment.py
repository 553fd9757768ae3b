"""`TASTESegment`: what one speaker said, in text and taste tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal, Self

import torch
from torch import Tensor

from taste_speech.audio_tower.quantizer import NO_TASTE
from taste_speech.words import Word

Role = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant")


@dataclass(frozen=True, eq=False)
class TASTESegment:
    """A turn of one speaker in a conversation.

    Args:
        role: "system", "user" or "assistant".
        modality: "text", or "audio" (text with taste tokens).
        text_ids: (1, S) LLM token ids; S may be 0.
        taste_ids: (1, S, L) taste tokens, only with modality "audio": codes on the first text token of each
            word, -1 on all levels of the other text tokens.

    Raises:
        ValueError: a field is invalid, or the fields do not fit together.
    """

    role: str
    modality: str
    text_ids: Tensor
    taste_ids: Tensor | None = None

    def __post_init__(self) -> None:
        if self.modality == "audio" and self.taste_ids is None:
            raise ValueError("modality='audio' requires taste_ids to be provided")
        if self.modality == "text" and self.taste_ids is not None:
            raise ValueError("modality='text' should not have taste_ids")
        if self.modality not in ("text", "audio"):
            raise ValueError(f"modality is {self.modality!r}; choose 'text' or 'audio'")
        if self.role not in ROLES:
            raise ValueError(f"role is {self.role!r}; choose 'system', 'user' or 'assistant'")
        check_tokens(self.text_ids, self.taste_ids)
        if self.text_ids.numel() and int(self.text_ids.min()) < 0:
            raise ValueError(f"text_ids holds {int(self.text_ids.min())}; LLM token ids are 0 or more")

    @classmethod
    def from_words(cls, role: str, words: Sequence[Word], num_quantizers: int) -> Self:
        """Return an audio segment of these words; `num_quantizers` is L."""
        text_ids = [token for word in words for token in word.ids]
        none = (NO_TASTE,) * num_quantizers
        rows: list[tuple[int, ...]] = []
        for word in words:
            rows += [word.taste or none, *[none] * (len(word.ids) - 1)]
        taste = torch.tensor(rows, dtype=torch.long).reshape(1, len(rows), num_quantizers)
        segment = cls(role, "audio", torch.tensor([text_ids], dtype=torch.long), taste)
        segment.__dict__["words"] = list(words)
        return segment

    @cached_property
    def words(self) -> list[Word]:
        """Words of an audio segment, each of which starts at a text token with a taste token.

        A text segment is a single entry without a taste token.
        """
        ids = self.text_ids[0].tolist()
        rows = [] if self.taste_ids is None else self.taste_ids[0].tolist()
        tastes = {token: tuple(row) for token, row in enumerate(rows) if row[0] != NO_TASTE}
        bounds = [*([0] if ids and 0 not in tastes else []), *tastes, len(ids)]
        return [Word(ids=tuple(ids[begin:end]), taste=tastes.get(begin)) for begin, end in pairwise(bounds)]


def check_tokens(text_ids: Tensor, taste_ids: Tensor | None, prefix: str = "") -> None:
    """Check the text tokens (1, S) of one speaker and their taste tokens (1, S, L), if there are any.

    Args:
        prefix: put before the tensors' names in error messages.

    Raises:
        ValueError: a type, shape or code is wrong.
    """
    taste_name = f"{prefix}taste_ids"
    _check_ids(f"{prefix}text_ids", text_ids, 2, "(1, S)")
    if taste_ids is None:
        return
    _check_ids(taste_name, taste_ids, 3, "(1, S, L)")
    if taste_ids.shape[1] != text_ids.shape[1]:
        raise ValueError(
            f"{taste_name} has {taste_ids.shape[1]} rows for {text_ids.shape[1]} text tokens; "
            "give one row per text token, -1 where it carries no taste token"
        )
    if taste_ids.numel() == 0:
        return
    if int(taste_ids.min()) < NO_TASTE:
        raise ValueError(f"{taste_name} holds {int(taste_ids.min())}; codes are 0 or more, or -1 for none")
    empty = taste_ids == NO_TASTE
    if bool((empty.any(-1) != empty.all(-1)).any()):
        raise ValueError(f"a row of {taste_name} is -1 on some levels only; give all L codes, or -1 on all")


def _check_ids(name: str, ids: Tensor, ndim: int, shape: str) -> None:
    if not isinstance(ids, Tensor):
        raise ValueError(f"{name} is a {type(ids).__name__}; give an integer tensor of shape {shape}")
    if ids.ndim != ndim:
        raise ValueError(f"{name} has shape {tuple(ids.shape)}; expected {shape}")
    if ids.shape[0] != 1:
        raise ValueError(f"{name} has a batch of {ids.shape[0]}; give one segment at a time, shape {shape}")
    if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
        raise ValueError(f"{name} has dtype {ids.dtype}; give integers")
