"""What the stages of the voice share: mel frames, F0, and the phones of recordings with times and pitch."""

import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from taste_speech.phones import MARKED_PHONES, PAUSE, PHONES, marked_phones, pause_after, pitch_level
from taste_speech.speech_decoder.phone_embedding import is_voiced
from taste_speech.training.config import StageContext, replacing
from taste_speech.training.corpus.audio_store import AudioStore, Clip
from taste_speech.vocoder.configuration import VoiceGeneratorConfig
from taste_speech.vocoder.spectra import log_mel
from taste_speech.vocoder.voice_generator import existing_file, read_state
from taste_speech.words import pronounced_words


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


_PITCH_STEP_S = 0.01
_FEWEST_VOICED = 2
"""Voiced values that a phone with a pitch has at least."""


def marked_phones_of(clip: Clip) -> tuple[list[int], list[int]]:
    """Return the marked phone and the word of each phone; pauses have word -1 and the mark of that before.

    Raises:
        ValueError: the clip's phones are not those of its text.
    """
    said = [
        (word, marked)
        for word, pronounced in enumerate(pronounced_words(clip.text.split()))
        for marked in marked_phones(pronounced)
    ]
    names = [phone for phone, _ in clip.timing.phones]
    if [PHONES[marked % len(PHONES)] for _, marked in said] != [name for name in names if name != PAUSE]:
        raise ValueError(
            f"clip {clip.id} does not say {clip.text!r} as it is pronounced today; record it again"
        )
    found, pause, coming = list[tuple[int, int]](), 0, iter(said)
    for name in names:
        if name == PAUSE:
            found.append((-1, pause))
        else:
            found.append(next(coming))
            pause = pause_after(found[-1][1])
    return [marked for _, marked in found], [word for word, _ in found]


def phone_pitch_hz(store: AudioStore, clip: Clip, marked: Tensor) -> Tensor:
    """Return the geometric mean of F0 over each of a clip's phones (phones,), nan where nothing is voiced.

    Args:
        store: holds the clip.
        clip: one recording.
        marked: (phones,) its marked phones, pauses included.
    """
    ends = [end for _, end in clip.timing.phones]
    f0 = store.pitch_at(clip, np.arange(0.0, ends[-1], _PITCH_STEP_S) + _PITCH_STEP_S / 2)
    bounds = np.rint(np.array([0.0, *ends]) / _PITCH_STEP_S).astype(int)
    means = torch.full((len(ends),), math.nan)
    for place in is_voiced(marked).nonzero()[:, 0].tolist():
        voiced = f0[bounds[place] : bounds[place + 1]]
        voiced = voiced[voiced > 0]
        if len(voiced) >= _FEWEST_VOICED:
            means[place] = float(np.exp(np.log(voiced).mean()))
    return means


def phone_units(store: AudioStore, clip: Clip, count: int, units_per_second: int) -> Tensor:
    """Return the units (`taste_speech.phones`) of a clip, (count,)."""
    marked = torch.tensor(marked_phones_of(clip)[0])
    pitch = phone_pitch_hz(store, clip, marked)
    levels = torch.where(pitch.isnan(), 0, pitch_level(pitch.nan_to_num(1.0)))
    ends = torch.tensor([end for _, end in clip.timing.phones]) * units_per_second
    at = torch.searchsorted(ends, torch.arange(count) + 0.5).clamp(max=len(marked) - 1)
    return (marked + MARKED_PHONES * levels)[at]
