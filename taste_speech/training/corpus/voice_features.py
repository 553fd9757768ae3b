"""What the stages of the voice share: earlier weights, and the phones of recordings with times and pitch."""

import math
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from taste_speech.phones import MARKED_PHONES, PAUSE, PHONES, marked_phones, pause_after, pitch_level
from taste_speech.speech_decoder.phone_embedding import is_voiced
from taste_speech.training.corpus.audio_store import AudioStore, Clip
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
