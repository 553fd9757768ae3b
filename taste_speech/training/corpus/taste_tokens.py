"""Encoder states of recordings, and the taste tokens that an audio tower makes of them; both kept on disk."""

import hashlib
import json
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

_SAVED_EVERY = 500
"""Number of clips after which the index is written, so that a stopped run can resume."""
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
    """Keys and values of a frozen encoder for many clips, on disk in half precision.

    The index names the encoder that made them; an index that names none counts as empty.
    """

    def __init__(self, folder: Path, width: int) -> None:
        self.folder, self.width = Path(folder), width
        self.folder.mkdir(parents=True, exist_ok=True)
        self._index = self.folder / "index.json"
        index = json.loads(self._index.read_text()) if self._index.exists() else {}
        self._made_by = index.get("made_by", "")
        self.offsets = {key: (a, b) for key, (a, b) in index.get("offsets", {}).items()}

    @torch.no_grad()
    def prepare(self, clips: Sequence[tuple[AudioStore, Clip]], tower: AudioTower) -> None:
        """Encode the clips that are missing; all of them if the encoder or its layer has changed."""
        made_by = (
            f"{fingerprint(tower.encoder)} {tower.joint.target_hidden_layer} {tower.config.source_windows}"
        )
        if made_by != self._made_by:
            self._index.unlink(missing_ok=True)
            self._made_by, self.offsets = made_by, {}
        missing = [(store, clip) for store, clip in clips if clip.id not in self.offsets]
        if not missing:
            return
        features = LogMelFeatures(tower.config)
        position = sum(frames for _, frames in self.offsets.values())
        with (self.folder / "states.f16").open("r+b" if self.offsets else "wb") as file:
            file.seek(position * 2 * self.width * 2)
            for number, (store, clip) in enumerate(missing, 1):
                encoded = _encode(tower, features, store, clip)
                states = torch.stack([encoded.keys[0], encoded.values[0]], dim=1).half().cpu().numpy()
                file.write(states.tobytes())
                self.offsets[clip.id] = (position, len(states))
                position += len(states)
                if number % _SAVED_EVERY == 0:
                    file.flush()
                    self._save()
        self._save()

    def _save(self) -> None:
        with replacing(self._index) as path:
            path.write_text(json.dumps({"made_by": self._made_by, "offsets": self.offsets}))

    def __contains__(self, key: str) -> bool:
        return key in self.offsets

    def states(self, key: str) -> tuple[Tensor, Tensor]:
        """Return keys and values of a clip, each (frames, width) float32; one zero frame if not encoded."""
        if key not in self.offsets:
            return torch.zeros(1, self.width), torch.zeros(1, self.width)
        offset, frames = self.offsets[key]
        row = 2 * self.width
        path = self.folder / "states.f16"
        stored = np.memmap(path, np.float16, "r", offset * row * 2, (frames, 2, self.width))
        both = torch.from_numpy(stored.astype(np.float32))
        return both[:, 0], both[:, 1]


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
