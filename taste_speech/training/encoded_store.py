"""Encoder states of many clips, kept on disk."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from taste_speech.audio_tower.encoder import encode_features
from taste_speech.features import LogMelFeatures
from taste_speech.training.corpus.audio_store import AudioStore, Clip
from taste_speech.training.recogniser import Recogniser


class EncodedStore:
    """Keys and values of the frozen encoder for many clips, in half precision on disk."""

    def __init__(self, folder: Path, width: int) -> None:
        self.folder, self.width = Path(folder), width
        self.folder.mkdir(parents=True, exist_ok=True)
        self._index = self.folder / "index.json"
        self.offsets: dict[str, tuple[int, int]] = {}
        if self._index.exists():
            self.offsets = {key: (a, b) for key, (a, b) in json.loads(self._index.read_text()).items()}

    @torch.no_grad()
    def prepare(self, clips: Sequence[tuple[AudioStore, Clip]], model: Recogniser, value_layer: int) -> None:
        """Encode what is missing."""
        features = LogMelFeatures(model.config)
        position = sum(frames for _, frames in self.offsets.values())
        with (self.folder / "states.f16").open("r+b" if self.offsets else "wb") as file:
            file.seek(position * 2 * self.width * 2)
            for store, clip in clips:
                if clip.id in self.offsets:
                    continue
                mel = features(store.samples(clip).astype(np.float32) / 32768)
                encoded = encode_features(model.encoder, mel, value_layer)
                states = torch.stack([encoded.keys[0], encoded.values[0]], dim=1).half().numpy()
                file.write(states.tobytes())
                self.offsets[clip.id] = (position, len(states))
                position += len(states)
        self._index.write_text(json.dumps(self.offsets))

    def states(self, key: str) -> tuple[Tensor, Tensor]:
        """Keys and values of one clip, each (frames, width) float32; one zero frame if it is not encoded."""
        if key not in self.offsets:
            return torch.zeros(1, self.width), torch.zeros(1, self.width)
        offset, frames = self.offsets[key]
        every = np.memmap(self.folder / "states.f16", np.float16, "r").reshape(-1, 2, self.width)
        both = torch.from_numpy(every[offset : offset + frames].astype(np.float32))
        return both[:, 0], both[:, 1]
