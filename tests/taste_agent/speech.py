"""Spoken and noisy test sounds, made here: a natural voice and arithmetic. 16 kHz mono float32."""

import functools
import os
from typing import Any

import numpy as np
import pytest
import soxr

RATE = 16000


@functools.cache
def spoken(text: str, voice: str = "high") -> np.ndarray:
    """A text spoken naturally, without silence around it, at -20 dBFS.

    Args:
        text: words, or phonemes of hibari in double square brackets.
        voice: "high" is a woman's; "low" is the same one played slower, in the usual pace.
    """
    slower = {"high": 1.0, "low": 1.2}[voice]
    engine = _voice()
    if text.startswith("[["):
        samples = engine.from_phonemes(text[2:-2], speed=slower, seed=0)
    else:
        samples = engine(text, speed=slower, seed=0)
    samples = soxr.resample(np.asarray(samples), engine.sample_rate / slower, RATE).astype(np.float32)
    loud = np.flatnonzero(np.abs(samples) > 0.02 * np.abs(samples).max())
    return at_level(samples[loud[0] : loud[-1] + 1], -20.0)


@functools.cache
def _voice() -> Any:
    try:
        import hibari
    except ImportError:
        missing = "nothing can speak here; run `pip install hibari-tts`"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    return hibari.Hibari()


def at_level(samples: np.ndarray, level_dbfs: float) -> np.ndarray:
    """Scaled to this root mean square level."""
    rms = float(np.sqrt(np.mean(np.square(samples))))
    return (samples * (10 ** (level_dbfs / 20) / rms)).astype(np.float32)


def silence(seconds: float) -> np.ndarray:
    """A quiet room: faint noise at -75 dBFS."""
    return noise(seconds, -75.0)


def noise(seconds: float, level_dbfs: float, seed: int = 0) -> np.ndarray:
    """White noise."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(round(seconds * RATE)) * 10 ** (level_dbfs / 20)).astype(np.float32)


def cough(seed: int = 0) -> np.ndarray:
    """Two bursts of filtered noise with a sharp onset, 0.35 s."""
    rng = np.random.default_rng(seed)
    burst = rng.standard_normal(round(0.14 * RATE)) * np.exp(-np.linspace(0, 5, round(0.14 * RATE)))
    sound = np.concatenate([burst, np.zeros(round(0.05 * RATE)), 0.7 * burst])
    smooth = np.convolve(sound, np.ones(6) / 6, mode="same")
    return at_level(smooth, -18.0)


def music(seconds: float, seed: int = 0) -> np.ndarray:
    """Chords and an arpeggio with decaying harmonics, and a drum on every beat."""
    rng = np.random.default_rng(seed)
    total = round(seconds * RATE)
    out = np.zeros(total + RATE)
    chords = [(57, 60, 64), (53, 57, 60), (48, 52, 55), (55, 59, 62)]
    beat = RATE // 2
    for index in range(total // beat):
        chord = chords[(index // 4) % 4]
        notes = [(note, 0.5) for note in chord] if index % 4 == 0 else []
        notes.append((chord[index % 3] + 12, 0.8))
        for note, gain in notes:
            out[index * beat : index * beat + RATE] += gain * _pluck(440 * 2 ** ((note - 69) / 12))
        drum = rng.standard_normal(1600) * np.exp(-np.linspace(0, 8, 1600))
        out[index * beat : index * beat + 1600] += 0.6 * drum
    return at_level(out[:total], -20.0)


def _pluck(frequency_hz: float) -> np.ndarray:
    time = np.arange(RATE) / RATE
    tones = sum(np.sin(2 * np.pi * frequency_hz * h * time) / h for h in range(1, 6))
    return tones * np.exp(-4 * time) * np.minimum(1, time * 200)


def track(*parts: np.ndarray) -> np.ndarray:
    """Parts one after the other over the noise of a quiet room."""
    joined = np.concatenate(parts)
    return joined + noise(len(joined) / RATE, -75.0, seed=9)[: len(joined)]
