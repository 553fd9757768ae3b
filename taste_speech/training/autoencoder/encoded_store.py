"""Encoder states of many clips, kept on disk."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from taste_speech.audio_tower.tower import AudioTower
from taste_speech.features import LogMelFeatures
from taste_speech.training.corpus import AudioStore, Clip
from taste_speech.training.replacing import replacing


def fingerprint(module: nn.Module) -> str:
    """Hexadecimal SHA-256 of the names, types, shapes and values of a module's weights."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


_SAVED_EVERY = 500
"""Clips after which the index is written, so that a stopped run goes on from there."""


class EncodedStore:
    """Keys and values of a frozen encoder for many clips, in half precision on disk.

    The index says which encoder made them; an index of an earlier version does not, and counts as none.
    """

    def __init__(self, folder: Path, width: int) -> None:
        self.folder, self.width = Path(folder), width
        self.folder.mkdir(parents=True, exist_ok=True)
        self._index = self.folder / "index.json"
        self.offsets: dict[str, tuple[int, int]] = {}
        self._made_by = ""
        index = json.loads(self._index.read_text()) if self._index.exists() else {}
        if "made_by" in index:
            self._made_by = index["made_by"]
            self.offsets = {key: (a, b) for key, (a, b) in index["offsets"].items()}

    @torch.no_grad()
    def prepare(self, clips: Sequence[tuple[AudioStore, Clip]], tower: AudioTower) -> None:
        """Encode what is missing; everything where another encoder or layer was used before.

        Args:
            clips: with the stores they are in.
            tower: encodes them as it does at run time.
        """
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
                samples = store.samples_at(clip, tower.config.sampling_rate_hz)
                frames = torch.tensor([features.frame_count(len(samples))])
                encoded = tower.encode(features(samples), frames)
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
        """Keys and values of one clip, each (frames, width) float32; one zero frame if it is not encoded."""
        if key not in self.offsets:
            return torch.zeros(1, self.width), torch.zeros(1, self.width)
        offset, frames = self.offsets[key]
        every = np.memmap(self.folder / "states.f16", np.float16, "r").reshape(-1, 2, self.width)
        both = torch.from_numpy(every[offset : offset + frames].astype(np.float32))
        return both[:, 0], both[:, 1]
