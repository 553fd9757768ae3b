"""Utterances of the reply voice with their units, and the word, phone and token that each unit belongs to."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoTokenizer

from taste_speech.training.config import StageContext
from taste_speech.training.corpus.audio_store import AudioStore, Clip, Timing
from taste_speech.training.tokenizer import build_asr_tokenizer, build_phoneme_tokenizer
from taste_speech.vocoder.phones import PAUSE, PHONES
from taste_speech.words import PhonemeTokenizer, silent_tail, tokenize_words

PROSODY_SIZE = 5
"""Pace, mean pitch, slope of the pitch, voiced part, loudness. The duration is not among them: it is mostly
the length of the word, which the text tells, so a model could predict it without listening."""
_SILENT_SIGNS = '.,?!-:;"()'
"""Not spoken at the end of a word."""


@dataclass(frozen=True)
class AlignedUtterance:
    """One utterance of the reply voice."""

    key: str
    split: str
    token_ids: list[int]
    word_ids: list[int]
    units: Tensor  # (units,) int64
    word_end_units: list[int]
    """Unit after the last one of each word."""
    prosody: Tensor  # (words, PROSODY_SIZE), standardized
    unit_phones: Tensor  # (units,) int64, index in `PHONES`
    unit_places: Tensor  # (units,) fractional index of the token that is being said
    taste_ids: Tensor | None = None  # (words, levels) int64 once the taste tokens are final


def load_utterances(
    context: StageContext, names: Sequence[str]
) -> tuple[list[AlignedUtterance], dict[str, tuple[AudioStore, Clip]]]:
    """Return the utterances of some stores that have units, and their recordings by key."""
    units = load_file(context.folder("units") / "units.safetensors")
    tokenizer = asr_tokenizer(context)
    stores = [AudioStore(context.folder("corpus") / name) for name in names]
    clips = {clip.id: (store, clip) for store in stores for clip in store if clip.id in units}
    rate = context.config.unit_decoding.units_per_second
    centroids = load_file(context.folder("units") / "quantizer.safetensors")["centroids"]
    utterances = [
        _aligned(clip, units[key].long(), tokenizer, rate, centroids) for key, (_, clip) in clips.items()
    ]
    usual = _phone_durations(utterances)
    paced = [
        replace(item, prosody=torch.cat([_pace(item, usual)[:, None], item.prosody], dim=1))
        for item in utterances
    ]
    train = torch.cat([item.prosody for item in paced if item.split == "train"])
    mean, deviation = train.mean(0), train.std(0)
    return [replace(item, prosody=(item.prosody - mean) / deviation) for item in paced], clips


def asr_tokenizer(context: StageContext) -> Any:
    """Return the tokenizer of the unit decoder and the aggregator, created on first use."""
    folder = context.folder("tokenizers") / "asr"
    phonemes = context.config.vocabulary.asr_pieces == "phonemes"
    if not folder.exists():
        (build_phoneme_tokenizer if phonemes else build_asr_tokenizer)().save_pretrained(folder)
    pieces = AutoTokenizer.from_pretrained(folder)
    return PhonemeTokenizer(pieces) if phonemes else pieces


def _aligned(
    clip: Clip, units: Tensor, tokenizer: Any, units_per_second: int, centroids: Tensor
) -> AlignedUtterance:
    """Return a clip with its units; the prosody is not standardized and lacks the pace."""
    words, timing = clip.text.split(), clip.timing
    tokens = tokenize_words(tokenizer, words)
    pieces: list[list[int]] = [[] for _ in words]
    for token, word in zip(tokens.token_ids, tokens.word_ids, strict=True):
        pieces[word].append(token)
    said = [
        max(1, len(ids) - silent_tail(tokenizer, ids, word, _SILENT_SIGNS))
        for ids, word in zip(pieces, words, strict=True)
    ]
    ends = [min(len(units), round(end * units_per_second)) for end in timing.word_ends]
    ends[-1] = len(units)
    middles_s = (np.arange(len(units)) + 0.5) / units_per_second
    phone_ends_s = np.array([end for _, end in timing.phones])
    spoken = np.searchsorted(phone_ends_s, middles_s).clip(max=len(phone_ends_s) - 1)
    numbers = np.array([PHONES.index(name) if name in PHONES else 0 for name, _ in timing.phones])
    return AlignedUtterance(
        clip.id,
        clip.split,
        tokens.token_ids,
        tokens.word_ids,
        units,
        ends,
        _unit_prosody(centroids, units, ends),
        torch.from_numpy(numbers[spoken]),
        _places(timing, middles_s, spoken, [len(piece) for piece in pieces], said),
    )


def _unit_prosody(centroids: Tensor, units: Tensor, word_end_units: Sequence[int]) -> Tensor:
    """Return (words, PROSODY_SIZE - 1): all but the pace, not standardized.

    Args:
        centroids: (units, bins + 2) of the k-means: spectrum, weighted pitch, weighted voicing.
        units: (units,) ids.
        word_end_units: (words,).
    """
    is_voiced = (centroids[:, -1] > 0.5 * centroids[:, -1].max()).float()
    loudness = centroids[:, :-2].mean(1)
    rows = []
    for first, last in pairwise([0, *word_end_units]):
        ids = units[first:last]
        voiced, pitch = is_voiced[ids], centroids[ids, -2]
        count = voiced.sum().clamp(min=1)
        mean = (voiced * pitch).sum() / count
        slope = (voiced * (pitch - mean) * torch.linspace(-1, 1, len(ids))).sum() / count
        loud = loudness[ids].mean() if len(ids) else torch.tensor(0.0)
        rows.append(torch.stack([mean, slope, voiced.sum() / max(1, len(ids)), loud]))
    return torch.stack(rows)


def _phone_durations(utterances: Sequence[AlignedUtterance]) -> Tensor:
    """Return the mean duration in units of each phone in the training words, 0 for pauses."""
    units, times = torch.zeros(len(PHONES)), torch.zeros(len(PHONES))
    for item in utterances:
        if item.split == "train":
            phones, lengths = torch.unique_consecutive(item.unit_phones, return_counts=True)
            units.index_add_(0, phones, lengths.float())
            times.index_add_(0, phones, torch.ones(len(phones)))
    usual = (units / times.clamp(min=1)).clamp(min=0.5)
    usual[PHONES.index(PAUSE)] = 0.0
    return usual


def _pace(item: AlignedUtterance, usual: Tensor) -> Tensor:
    """Return the log of the duration of each word, without pauses, over that expected from its phones.

    It is 0 for a word that has no units of its own.
    """
    paces = []
    for first, last in pairwise([0, *item.word_end_units]):
        own = item.unit_phones[first:last]
        spoken = int((usual[own] > 0).sum())
        expected = float(usual[torch.unique_consecutive(own)].sum())
        paces.append(math.log(spoken / expected) if spoken else 0.0)
    return torch.tensor(paces)


def _places(
    timing: Timing, middles_s: np.ndarray, spoken: np.ndarray, n_tokens: Sequence[int], letters: Sequence[int]
) -> Tensor:
    """Return the place (units,) of each unit among the tokens.

    The phones of a word share its spoken tokens evenly; pauses get the silent ones.

    Args:
        timing: of the utterance.
        middles_s: (units,) time of each unit.
        spoken: (units,) index of the phone of each unit.
        n_tokens: number of tokens of each word.
        letters: number of tokens of each word that are spoken.
    """
    ends_s = np.array([end for _, end in timing.phones])
    starts_s = np.concatenate([[0.0], ends_s[:-1]])
    is_pause = np.array([phone == PAUSE for phone, _ in timing.phones])
    word = np.searchsorted(timing.word_ends, ends_s - 1e-6).clip(max=len(n_tokens) - 1)
    first = np.cumsum([0, *n_tokens])
    done, share = np.zeros(len(ends_s)), np.zeros(len(ends_s))  # fractions of the word: before a phone, of it
    for index in range(len(n_tokens)):
        own = np.flatnonzero((word == index) & ~is_pause)
        done[own], share[own] = np.arange(len(own)) / max(1, len(own)), 1 / max(1, len(own))
    last_spoken = np.flatnonzero(~is_pause).max(initial=0)
    within = (middles_s - starts_s[spoken]) / np.maximum(ends_s - starts_s, 1e-3)[spoken]
    part = done[spoken] + share[spoken] * within.clip(0, 1)
    said = first[word[spoken]] + part * np.array(letters)[word[spoken]] - 0.5
    silent = np.where(spoken > last_spoken, first[-1] - 1, first[word[spoken]])
    return torch.from_numpy(np.where(is_pause[spoken], silent, said)).float()
