"""The corpus of the reply voice, tokenized, aligned and encoded."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoTokenizer
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from taste_speech.audio_tower.tower import AudioTower
from taste_speech.training import word_times
from taste_speech.training.aligned_utterance import (
    AlignedUtterance,
    UnitProsody,
    align_utterance,
    standardise,
    with_pace,
)
from taste_speech.training.config import StageContext
from taste_speech.training.corpus.audio_store import AudioStore
from taste_speech.training.encoded_store import EncodedStore
from taste_speech.training.fingerprint import fingerprint
from taste_speech.training.taste_bank import word_codes

_MADE_BY = "tower"
"""Entry of a file's metadata: fingerprint of the tower whose taste tokens it holds."""


def load_utterances(
    context: StageContext, names: Sequence[str], threads: int, encoder: WhisperEncoder | None
) -> tuple[list[AlignedUtterance], EncodedStore]:
    """Tokenized and aligned utterances that have units, and their states of `encoder`, if there is one."""
    folder, config = context.folder("autoencoder"), context.config
    units = load_file(context.folder("units") / "units.safetensors")
    tokenizer = AutoTokenizer.from_pretrained(context.folder("tokenizers") / "asr")
    stores = [AudioStore(context.folder("corpus") / name) for name in names]
    clips = [(store, clip) for store in stores for clip in store if clip.id in units]
    times = word_times.prepare([clip for _, clip in clips], folder / "times.json", threads)
    encoded = EncodedStore(folder / "encoded", config.tower.d_model)
    if encoder is not None:
        value_layer = config.audio_tower_config.kwargs_for_joint_encoder_segmenter.target_hidden_layer
        encoded.prepare(clips, encoder, config.tower, value_layer)
    rate = config.unit_decoding.units_per_second
    prosody = UnitProsody(load_file(context.folder("units") / "quantizer.safetensors")["centroids"])
    utterances = [
        align_utterance(clip, units[clip.id], times[clip.id], tokenizer, rate, prosody) for _, clip in clips
    ]
    return standardise(with_pace(utterances)), encoded


def with_taste_ids(
    utterances: Sequence[AlignedUtterance], tower: AudioTower, context: StageContext
) -> list[AlignedUtterance]:
    """The utterances with their taste tokens, of a tower that stays as it is.

    They are kept in a file that says which tower made it; one of an earlier version does not, and is renewed.
    """
    path = context.folder("autoencoder") / "taste_ids.safetensors"
    made_by = fingerprint(tower)
    known = _taste_ids_of(path, made_by)
    clips = {clip.id: (store, clip) for store in _stores(context) for clip in store}
    for item in utterances:
        if item.key not in known:
            store, clip = clips[item.key]
            samples = store.samples(clip).astype(np.float32) / 32768
            known[item.key] = torch.tensor(word_codes(tower, samples, _pieces(item)), dtype=torch.int16)
    partial = path.with_suffix(".partial")
    save_file(known, partial, {_MADE_BY: made_by})
    partial.replace(path)
    return [replace(item, taste_ids=known[item.key].long()) for item in utterances]


def _taste_ids_of(path: Path, made_by: str) -> dict[str, Tensor]:
    """What the file holds of the tower with this fingerprint."""
    if not path.exists():
        return {}
    with safe_open(path, "pt") as file:
        same = (file.metadata() or {}).get(_MADE_BY) == made_by
    return load_file(path) if same else {}


def _pieces(item: AlignedUtterance) -> list[list[int]]:
    """ASR tokens of each word."""
    pairs = zip(item.word_ids, item.token_ids, strict=True)
    return [[token for _, token in word] for _, word in groupby(pairs, key=lambda pair: pair[0])]


def _stores(context: StageContext) -> list[AudioStore]:
    folder = context.folder("corpus")
    return [AudioStore(path) for path in sorted(folder.iterdir()) if path.is_dir()]
