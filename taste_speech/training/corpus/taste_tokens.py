"""Encoder states of recordings, and the taste tokens that an audio tower makes of them; both kept on disk."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from taste_speech.audio_tower.encoder import EncodedAudio
from taste_speech.audio_tower.tower import AudioTower
from taste_speech.features import LogMelFeatures
from taste_speech.training.config import replacing
from taste_speech.training.corpus.audio_store import AudioStore, Clip
from taste_speech.words import PhoneTokenizer

_MADE_BY = "tower"
"""Metadata entry of a file of taste tokens: fingerprint of the tower that made them."""


def fingerprint(module: nn.Module) -> str:
    """Return the hexadecimal SHA-256 of the names, types, shapes and values of a module's weights."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _encode(tower: AudioTower, features: LogMelFeatures, store: AudioStore, clip: Clip) -> EncodedAudio:
    samples = store.samples_at(clip, tower.config.sampling_rate_hz)
    return tower.encode(features(samples), torch.tensor([features.frame_count(len(samples))]))


class EncodedStore:
    """Keys and values of a tower's frozen encoder for many clips: on disk, a file in half precision for each.

    The files of another encoder, or of another of its layers, are in another folder.
    """

    def __init__(self, folder: Path, tower: AudioTower) -> None:
        self.tower = tower
        joint, windows = tower.joint.target_hidden_layer, tower.config.source_windows
        made_by = hashlib.sha256(f"{fingerprint(tower.encoder)} {joint} {windows}".encode())
        self.folder = Path(folder) / made_by.hexdigest()[:16]
        self.folder.mkdir(parents=True, exist_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.npy"

    def __contains__(self, key: str) -> bool:
        return self._path(key).exists()

    @torch.no_grad()
    def prepare(self, clips: Sequence[tuple[AudioStore, Clip]]) -> None:
        """Encode the clips that are missing."""
        features = LogMelFeatures(self.tower.config)
        for store, clip in clips:
            if clip.id in self:
                continue
            encoded = _encode(self.tower, features, store, clip)
            states = torch.stack([encoded.keys[0], encoded.values[0]]).half().cpu().numpy()
            with replacing(self._path(clip.id)) as path, path.open("wb") as file:
                np.save(file, states)

    def frames(self, key: str) -> int:
        """Return the number of states of a clip."""
        return int(np.load(self._path(key), mmap_mode="r").shape[1])

    def states(self, key: str) -> tuple[Tensor, Tensor]:
        """Return keys and values of a clip, each (frames, width) float32."""
        keys, values = torch.from_numpy(np.load(self._path(key)).astype(np.float32))
        return keys, values


@torch.no_grad()
def heard_by(
    tower: AudioTower,
    clips: Sequence[tuple[AudioStore, Clip]],
    path: Path,
    encoded: EncodedStore | None = None,
) -> dict[str, Tensor]:
    """Return taste tokens (words, levels) of clips, as an audio tower that reads phones hears them.

    Args:
        clips: with the stores that hold them.
        path: file that keeps the taste tokens.
        encoded: states of the tower's encoder; clips that it lacks are encoded.
    """
    device = tower.quantizer.codebooks.device
    features, made_by, tokenizer = LogMelFeatures(tower.config), fingerprint(tower), PhoneTokenizer()
    known = _read(path, made_by)
    for store, clip in clips:
        if clip.id not in known:
            tokens = tokenizer.tokens(clip.text.split())
            if encoded is not None and clip.id in encoded:
                states = EncodedAudio(*(each[None].to(device) for each in encoded.states(clip.id)))
            else:
                states = _encode(tower, features, store, clip)
            known[clip.id] = taste_ids_of(
                tower, states, torch.tensor(tokens.token_ids), torch.tensor(tokens.word_ids)
            )
    _write(path, known, made_by)
    return known


def _write(path: Path, taste_ids: dict[str, Tensor], made_by: str) -> None:
    with replacing(path) as partial:
        save_file(taste_ids, partial, {_MADE_BY: made_by})


def _read(path: Path, made_by: str) -> dict[str, Tensor]:
    if not path.exists():
        return {}
    with safe_open(path, "pt") as file:
        same = (file.metadata() or {}).get(_MADE_BY) == made_by
    return load_file(path) if same else {}


@torch.no_grad()
def taste_ids_of(tower: AudioTower, encoded: EncodedAudio, token_ids: Tensor, word_ids: Tensor) -> Tensor:
    """Return taste tokens (words, levels) int16 of a clip, given its ASR tokens and their words (tokens,)."""
    device = tower.quantizer.codebooks.device
    ids, words = token_ids[None].to(device), word_ids[None].to(device)
    # Autocast, which training uses, would swap codes that are close to each other.
    with torch.autocast(device.type, enabled=False):
        lengths = torch.tensor([ids.shape[1]], device=device)
        indices = tower.tokenize(encoded, ids, lengths, words).indices[0].cpu()
    firsts = torch.cat([word_ids.new_ones(1, dtype=torch.bool), word_ids[1:] != word_ids[:-1]])
    return indices[firsts].short()
