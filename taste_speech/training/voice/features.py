"""Mel frames and pitch of the reply voice, computed once and kept on disk for the stages that need them."""

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from taste_speech.training.config import StageContext, replacing
from taste_speech.training.corpus.audio_store import AudioStore
from taste_speech.vocoder.configuration import VoiceGeneratorConfig
from taste_speech.vocoder.mel import log_mel
from taste_speech.vocoder.voice_generator import existing_file, read_state


def fixed_embedding(name: str, size: int) -> Tensor:
    """(1, size) unit vector that depends on the voice's name only.

    A checkpoint with few voices needs no encoder: the decoders learn what each vector stands for.
    """
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    vector = torch.randn(1, size, generator=generator)
    return vector / vector.norm()


def stored_voice(folder: Path, part: str) -> dict[str, Tensor]:
    """Return the tensors of a part of a checkpoint's voice generator: `flow` or `hift`."""
    state = read_state(existing_file(folder))
    prefix = f"{part}."
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


@dataclass(frozen=True)
class Utterance:
    """One utterance's frames."""

    key: str
    split: str
    mel: np.ndarray  # (frames, bins) float16
    f0: np.ndarray  # (frames,) float16, Hz
    audio: np.ndarray  # (samples,) int16


class VoiceFeatures:
    """Mel frames and F0 at the vocoder's hop; frame i covers samples [i hop, (i + 1) hop)."""

    def __init__(self, folder: Path, store: AudioStore, config: VoiceGeneratorConfig) -> None:
        self.folder, self.store, self.config = Path(folder), store, config
        self.folder.mkdir(parents=True, exist_ok=True)
        self._index_path = self.folder / "index.json"
        self._offsets = self._read_index()
        self._entries = {entry.id: entry for entry in store}

    def prepare(self) -> None:
        """Compute what is missing; a stage that needs the same meanwhile waits for it."""
        with FileLock(self.folder / "writing.lock"):
            self._offsets = self._read_index()
            missing = [key for key in self._entries if key not in self._offsets]
            if missing:
                self._compute(missing)

    def _read_index(self) -> dict[str, tuple[int, int]]:
        if not self._index_path.exists():
            return {}
        return {key: (int(a), int(b)) for key, (a, b) in json.loads(self._index_path.read_text()).items()}

    def _compute(self, missing: Sequence[str]) -> None:
        position = sum(length for _, length in self._offsets.values())
        with (self.folder / "mel.f16").open("ab") as mels, (self.folder / "f0.f16").open("ab") as pitches:
            # A run that was stopped left frames of which the index does not know.
            mels.truncate(position * self.config.mel_bins * np.dtype(np.float16).itemsize)
            pitches.truncate(position * np.dtype(np.float16).itemsize)
            for key in missing:
                audio = self._audio(key)
                mel = log_mel(torch.from_numpy(audio)[None], self.config)[0].T.numpy()
                hop, rate = self.config.hop_samples, self.config.sampling_rate_hz
                centers_s = (np.arange(len(mel)) + 0.5) * hop / rate
                mels.write(mel.astype(np.float16).tobytes())
                pitch = self.store.pitch_at(self._entries[key], centers_s)
                pitches.write(pitch.astype(np.float16).tobytes())
                self._offsets[key] = (position, len(mel))
                position += len(mel)
        with replacing(self._index_path) as path:  # another stage may be reading it
            path.write_text(json.dumps(self._offsets))
        self.__dict__.pop("_frames", None)

    @cached_property
    def _frames(self) -> tuple[np.ndarray, np.ndarray]:
        """Mel (frames, bins) and F0 (frames,) of all utterances, opened once: a store has thousands."""
        mel = np.memmap(self.folder / "mel.f16", np.float16, "r").reshape(-1, self.config.mel_bins)
        return mel, np.memmap(self.folder / "f0.f16", np.float16, "r")

    def _audio(self, key: str) -> np.ndarray:
        return self.store.samples(self._entries[key]).astype(np.float32) / 32768

    def keys(self, *splits: str) -> list[str]:
        """Utterances of these splits."""
        return [key for key in self._offsets if key in self._entries and self._entries[key].split in splits]

    def __getitem__(self, key: str) -> Utterance:
        offset, frames = self._offsets[key]
        mel, f0 = self._frames
        entry = self._entries[key]
        return Utterance(
            key=key,
            split=entry.split,
            mel=mel[offset : offset + frames],
            f0=f0[offset : offset + frames],
            audio=self.store.samples(entry),
        )


def prepared_features(context: StageContext, stores: Sequence[str]) -> list[VoiceFeatures]:
    """Features of these stores of the corpus, computed where they are missing."""
    config, features = context.config.voice_generator, []
    for name in stores:
        store = AudioStore(context.folder("corpus") / name)
        part = VoiceFeatures(context.folder("features") / name, store, config)
        part.prepare()
        features.append(part)
    return features
