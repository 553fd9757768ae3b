"""Utterances of the reply voice with their units, and which word, phone and token each unit belongs to."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from taste_speech.training.corpus import Clip, Timing
from taste_speech.vocoder.phones import PAUSE, PHONES
from taste_speech.words import silent_tail

PROSODY_SIZE = 5
"""Pace, mean pitch, rise of the pitch, voiced part, loudness. Not the duration: that is mostly the length of
the word, which the text tells; who learns to tell it need not listen."""
_SILENT_SIGNS = '.,?!-:;"()'
"""At the end of a word these are written, not said."""


@dataclass(frozen=True)
class AlignedUtterance:
    """One utterance of the reply voice."""

    key: str
    split: str
    text: str
    token_ids: list[int]
    word_ids: list[int]
    units: Tensor  # (units,) int64
    word_end_units: list[int]
    """Unit after the last one of each word."""
    prosody: Tensor  # (words, PROSODY_SIZE), standardized; while it is being made, without the pace
    unit_phones: Tensor  # (units,) int64, number in `word_times.PHONES`
    unit_places: Tensor  # (units,) token that is being said, as a number between tokens
    taste_ids: Tensor | None = None  # (words, levels) int64 once the taste tokens are final


class UnitProsody:
    """Prosody of words as their units tell it.

    Args:
        centroids: (units, bins + 2) of the k-means: spectrum, weighted pitch, weighted voicing.
    """

    def __init__(self, centroids: Tensor) -> None:
        self.loudness = centroids[:, :-2].mean(1)
        self.pitch = centroids[:, -2]
        self.is_voiced = (centroids[:, -1] > 0.5 * centroids[:, -1].max()).float()

    def __call__(self, units: Tensor, word_end_units: Sequence[int]) -> Tensor:
        """(words, PROSODY_SIZE - 1): all but the pace, not standardized."""
        rows = []
        for first, last in zip([0, *word_end_units[:-1]], word_end_units, strict=True):
            ids = units[first:last]
            voiced, pitch = self.is_voiced[ids], self.pitch[ids]
            count = voiced.sum().clamp(min=1)
            mean = (voiced * pitch).sum() / count
            ramp = torch.linspace(-1, 1, len(ids))
            rise = (voiced * (pitch - mean) * ramp).sum() / count
            loudness = self.loudness[ids].mean() if len(ids) else torch.tensor(0.0)
            rows.append(torch.stack([mean, rise, voiced.sum() / max(1, len(ids)), loudness]))
        return torch.stack(rows)


def with_pace(utterances: Sequence[AlignedUtterance]) -> list[AlignedUtterance]:
    """The utterances with the pace of their words in front of the rest of their prosody.

    It is the log of how long a word takes, pauses left out, over what its phones take in the training words.
    """
    units = torch.zeros(len(PHONES))
    times = torch.zeros(len(PHONES))
    for item in utterances:
        if item.split == "train":
            phones, lengths = torch.unique_consecutive(item.unit_phones, return_counts=True)
            units.index_add_(0, phones, lengths.float())
            times.index_add_(0, phones, torch.ones(len(phones)))
    usual = (units / times.clamp(min=1)).clamp(min=0.5)
    usual[PHONES.index(PAUSE)] = 0.0
    return [
        replace(item, prosody=torch.cat([_pace(item, usual)[:, None], item.prosody], dim=1))
        for item in utterances
    ]


def _pace(item: AlignedUtterance, usual: Tensor) -> Tensor:
    """(words,) pace; 0 of a word that has no units of its own."""
    paces = []
    for first, last in zip([0, *item.word_end_units[:-1]], item.word_end_units, strict=True):
        own = item.unit_phones[first:last]
        spoken = int((usual[own] > 0).sum())
        expected = float(usual[torch.unique_consecutive(own)].sum())
        paces.append(math.log(spoken / expected) if spoken else 0.0)
    return torch.tensor(paces)


def standardize(utterances: Sequence[AlignedUtterance]) -> list[AlignedUtterance]:
    """The utterances with prosody of mean 0 and deviation 1 over the training words."""
    train = torch.cat([item.prosody for item in utterances if item.split == "train"])
    mean, deviation = train.mean(0), train.std(0)
    return [replace(item, prosody=(item.prosody - mean) / deviation) for item in utterances]


def align_utterance(
    clip: Clip,
    units: Tensor,
    timing: Timing,
    tokenizer: Any,
    units_per_second: int,
    prosody: UnitProsody,
) -> AlignedUtterance:
    """Tokenize the words of a clip and find out which word, phone and token each unit belongs to."""
    words = clip.text.split()
    pieces = [tokenizer.encode(f" {word}", add_special_tokens=False) for word in words]
    said = [
        max(1, len(ids) - silent_tail(tokenizer, ids, word, _SILENT_SIGNS))
        for ids, word in zip(pieces, words, strict=True)
    ]
    ends = [min(len(units), round(end * units_per_second)) for end in timing.word_ends]
    ends[-1] = len(units)
    middles_s = (np.arange(len(units)) + 0.5) / units_per_second
    ends_s = np.array([end for _, end in timing.phones])
    spoken = np.searchsorted(ends_s, middles_s).clip(max=len(ends_s) - 1)
    names = [phone for phone, _ in timing.phones]
    unit_phones = np.array([PHONES.index(name) if name in PHONES else 0 for name in names])[spoken]
    return AlignedUtterance(
        clip.id,
        clip.split,
        clip.text,
        [token for piece in pieces for token in piece],
        [word for word, piece in enumerate(pieces) for _ in piece],
        units.long(),
        ends,
        prosody(units.long(), ends),
        torch.from_numpy(unit_phones),
        _places(timing, middles_s, spoken, [len(piece) for piece in pieces], said),
    )


def _places(
    timing: Timing, middles_s: np.ndarray, spoken: np.ndarray, n_tokens: Sequence[int], letters: Sequence[int]
) -> Tensor:
    """(units,) place among the tokens: a word's phones share its letters evenly, pauses get what is silent.

    Args:
        spoken: (units,) number of the phone of each unit.
        n_tokens, letters: of each word, tokens and how many of them are said.
    """
    ends_s = np.array([end for _, end in timing.phones])
    starts_s = np.concatenate([[0.0], ends_s[:-1]])
    is_pause = np.array([phone == PAUSE for phone, _ in timing.phones])
    word = np.searchsorted(timing.word_ends, ends_s - 1e-6).clip(max=len(n_tokens) - 1)
    first = np.cumsum([0, *n_tokens])
    done = np.zeros(len(ends_s))  # share of the word's phones before this one
    share = np.zeros(len(ends_s))
    for index in range(len(n_tokens)):
        own = np.flatnonzero((word == index) & ~is_pause)
        done[own], share[own] = np.arange(len(own)) / max(1, len(own)), 1 / max(1, len(own))
    last_spoken = np.flatnonzero(~is_pause).max(initial=0)
    within = (middles_s - starts_s[spoken]) / np.maximum(ends_s - starts_s, 1e-3)[spoken]
    part = done[spoken] + share[spoken] * within.clip(0, 1)
    said = first[word[spoken]] + part * np.array(letters)[word[spoken]] - 0.5
    silent = np.where(spoken > last_spoken, first[-1] - 1, first[word[spoken]])
    return torch.from_numpy(np.where(is_pause[spoken], silent, said)).float()
