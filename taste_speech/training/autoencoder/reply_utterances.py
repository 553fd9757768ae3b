"""The corpus of the reply voice, tokenized, aligned and encoded."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoTokenizer

from taste_speech.audio_tower.encoder import EncodedAudio
from taste_speech.audio_tower.tower import AudioTower
from taste_speech.features import LogMelFeatures
from taste_speech.training.autoencoder.encoded_store import EncodedStore, fingerprint
from taste_speech.training.autoencoder.utterances import (
    AlignedUtterance,
    UnitProsody,
    align_utterance,
    standardize,
    with_pace,
)
from taste_speech.training.config import StageContext
from taste_speech.training.corpus import AudioStore, Clip
from taste_speech.training.replacing import replacing
from taste_speech.training.tokenizer import build_asr_tokenizer, build_phoneme_tokenizer
from taste_speech.words import PhonemeTokenizer

_MADE_BY = "tower"
"""Entry of a file's metadata: fingerprint of the tower whose taste tokens it holds."""


def load_utterances(
    context: StageContext, names: Sequence[str]
) -> tuple[list[AlignedUtterance], dict[str, tuple[AudioStore, Clip]]]:
    """Tokenized and aligned utterances that have units, and where each is recorded."""
    units = load_file(context.folder("units") / "units.safetensors")
    tokenizer = asr_tokenizer(context)
    stores = [AudioStore(context.folder("corpus") / name) for name in names]
    clips = {clip.id: (store, clip) for store in stores for clip in store if clip.id in units}
    rate = context.config.unit_decoding.units_per_second
    prosody = UnitProsody(load_file(context.folder("units") / "quantizer.safetensors")["centroids"])
    utterances = [
        align_utterance(clip, units[key], clip.timing, tokenizer, rate, prosody)
        for key, (_, clip) in clips.items()
    ]
    return standardize(with_pace(utterances)), clips


def asr_tokenizer(context: StageContext) -> Any:
    """The tokenizer of the unit decoder and the aggregator, made at the first call."""
    folder = context.folder("tokenizers") / "asr"
    phonemes = context.config.vocabulary.asr_pieces == "phonemes"
    if not folder.exists():
        (build_phoneme_tokenizer if phonemes else build_asr_tokenizer)().save_pretrained(folder)
    pieces = AutoTokenizer.from_pretrained(folder)
    return PhonemeTokenizer(pieces) if phonemes else pieces


def with_taste_ids(
    utterances: Sequence[AlignedUtterance], tower: AudioTower, encoded: EncodedStore, context: StageContext
) -> list[AlignedUtterance]:
    """The utterances with their taste tokens, of a tower that stays as it is; not those that are not encoded.

    They are kept in a file that says which tower made it.
    """
    path = context.folder("autoencoder") / "taste_ids.safetensors"
    made_by = fingerprint(tower)
    known = _taste_ids_of(path, made_by)
    for item in utterances:
        if item.key not in known and item.key in encoded:
            device = tower.quantizer.codebooks.device
            keys, values = (states[None].to(device) for states in encoded.states(item.key))
            sound = EncodedAudio(keys, values)
            known[item.key] = _taste_ids(tower, sound, item.token_ids, item.word_ids)
    _write(path, known, made_by)
    return [
        replace(item, taste_ids=known[item.key].long()) if item.key in known else item for item in utterances
    ]


@torch.no_grad()
def heard_by(
    tower: AudioTower,
    tokenizer: Any,
    clips: Sequence[tuple[AudioStore, Clip]],
    path: Path,
) -> dict[str, Tensor]:
    """Taste tokens (words, levels) of clips, as an audio tower hears them.

    Args:
        tower: stays as it is.
        tokenizer: of its words.
        clips: with the stores they are in.
        path: file in which the taste tokens are kept.
    """
    features, made_by = LogMelFeatures(tower.config), fingerprint(tower)
    known = _taste_ids_of(path, made_by)
    for store, clip in clips:
        if clip.id in known:
            continue
        pieces = [tokenizer.encode(f" {word}", add_special_tokens=False) for word in clip.text.split()]
        samples = store.samples_at(clip, tower.config.sampling_rate_hz)
        encoded = tower.encode(features(samples), torch.tensor([features.frame_count(len(samples))]))
        token_ids = [token for piece in pieces for token in piece]
        word_ids = [word for word, piece in enumerate(pieces) for _ in piece]
        known[clip.id] = _taste_ids(tower, encoded, token_ids, word_ids)
    _write(path, known, made_by)
    return known


def _write(path: Path, taste_ids: dict[str, Tensor], made_by: str) -> None:
    with replacing(path) as partial:
        save_file(taste_ids, partial, {_MADE_BY: made_by})


@torch.no_grad()
def _taste_ids(
    tower: AudioTower, encoded: EncodedAudio, token_ids: Sequence[int], word_ids: Sequence[int]
) -> Tensor:
    """(words, levels) int16."""
    device = tower.quantizer.codebooks.device
    ids, words = (torch.tensor([row], device=device) for row in (token_ids, word_ids))
    # With fewer bits, as in training, near codes would change places.
    with torch.autocast(tower.quantizer.codebooks.device.type, enabled=False):
        lengths = torch.tensor([ids.shape[1]], device=device)
        indices = tower.tokenize(encoded, ids, lengths, words).indices[0].cpu()
    firsts = [0, *(i for i in range(1, ids.shape[1]) if word_ids[i] != word_ids[i - 1])]
    return indices[firsts].short()


def _taste_ids_of(path: Path, made_by: str) -> dict[str, Tensor]:
    """What the file holds of the tower with this fingerprint."""
    if not path.exists():
        return {}
    with safe_open(path, "pt") as file:
        same = (file.metadata() or {}).get(_MADE_BY) == made_by
    return load_file(path) if same else {}
