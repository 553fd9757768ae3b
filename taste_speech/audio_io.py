"""Audio files and arrays -> mono float32 samples at the sampling rate that the model needs."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch

from taste_speech.errors import AudioError
from taste_speech.sound_file import MAX_FLOAT_PEAK, MAX_RATE_HZ, MIN_RATE_HZ, Samples, SoundFile

logger = logging.getLogger(__name__)


def load_audio(path: str | Path, sampling_rate_hz: int) -> Samples:
    """Read a sound file as mono samples at `sampling_rate_hz`; see `SoundFile` for formats and repairs.

    Raises:
        AudioError: the file is missing, damaged, empty or not audio.
    """
    sound = SoundFile(path)
    for notice in sound.notices:
        logger.warning(notice)
    return resample(sound.samples(), sound.rate_hz, sampling_rate_hz)


def prepare_audio(
    audio: Any,
    sampling_rate_hz: int,
    target_rate_hz: int,
    max_duration_s: float | None = None,
    name: str = "audio",
) -> Samples:
    """Check a recording and resample it to `target_rate_hz`.

    Args:
        audio: 1-D array, tensor or list; float in [-1, 1] or int16.
        max_duration_s: maximum duration; None: no limit.
        name: name of the recording for error messages.

    Returns:
        1-D float32 samples, a copy or a view of `audio`.

    Raises:
        AudioError: the audio is empty, not 1-D, not numeric or too long, has NaN or infinite samples or
            integers as floats, or its sampling rate is impossible.
    """
    rate = check_rate(sampling_rate_hz)
    samples = _as_float(audio, name)
    if samples.ndim != 1:
        raise AudioError(
            f"{name} has shape {samples.shape}; expected one channel (samples,); "
            "average the channels and pass one recording at a time"
        )
    if not samples.size:
        raise AudioError(f"{name} is empty; expected at least one sample")
    if not np.isfinite(samples).all():
        bad = int(np.count_nonzero(~np.isfinite(samples)))
        raise AudioError(f"{name} has {bad} NaN or infinite samples; expected finite values in [-1, 1]")
    if (peak := float(np.abs(samples).max())) > MAX_FLOAT_PEAK:
        raise AudioError(
            f"{name} reaches {peak:.0f}; expected float samples in [-1, 1]: pass int16, or divide by 32768"
        )
    duration_s = samples.size / rate
    if max_duration_s is not None and duration_s > max_duration_s:
        raise AudioError(
            f"{name} lasts {duration_s:.2f} s; at most {max_duration_s:g} s are allowed; split it into parts"
        )
    return resample(samples, rate, target_rate_hz)


def resample(samples: Samples, from_rate_hz: int, to_rate_hz: int) -> Samples:
    """Resample mono samples to at least one sample."""
    if from_rate_hz == to_rate_hz:
        return samples
    resampled = soxr.resample(samples, from_rate_hz, to_rate_hz, quality="HQ")
    return resampled.astype(np.float32) if resampled.size else np.zeros(1, np.float32)


def check_rate(sampling_rate_hz: int) -> int:
    """Return a sampling rate as an int.

    Raises:
        AudioError: the rate is impossible for a recording of speech.
    """
    if sampling_rate_hz != int(sampling_rate_hz) or not MIN_RATE_HZ <= sampling_rate_hz <= MAX_RATE_HZ:
        raise AudioError(
            f"sampling rate {sampling_rate_hz} Hz; expected a whole number, {MIN_RATE_HZ} to {MAX_RATE_HZ}; "
            "give the rate of the recording"
        )
    return int(sampling_rate_hz)


def _as_float(audio: Any, name: str) -> Samples:
    """Convert to float32; int16 is the only integer type with a known full scale."""
    if isinstance(audio, torch.Tensor):
        audio = audio.detach().cpu()
        audio = (audio.float() if audio.is_floating_point() else audio).numpy()
    array = np.asarray(audio)
    if array.dtype == np.int16:
        return array.astype(np.float32) / np.float32(32768)
    if array.size and not np.issubdtype(array.dtype, np.floating):
        raise AudioError(f"{name} has type {array.dtype}; expected float samples in [-1, 1] or int16")
    return array.astype(np.float32, copy=False)
