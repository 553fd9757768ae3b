"""Pitch of recorded speech changed by overlapping single periods (Moulines and Charpentier, 1990).

The clustergen voices of flite have no control of pitch; this gives them one and leaves the formants alone.
"""

import numpy as np

HOP_SAMPLES = 80
WINDOW_SAMPLES = 640
VOICED_CORRELATION = 0.5
SILENCE_RMS = 100.0


def track_f0(samples: np.ndarray, rate_hz: int, low_hz: float = 60.0, high_hz: float = 320.0) -> np.ndarray:
    """Return F0 in Hz for every hop of 80 samples, 0 where unvoiced, by normalised autocorrelation.

    `samples` is (T,), of any type; the result is (T // 80 + 1,).
    """
    x = np.pad(samples.astype(np.float64), (WINDOW_SAMPLES // 2, WINDOW_SAMPLES))
    starts = np.arange(len(samples) // HOP_SAMPLES + 1) * HOP_SAMPLES
    frames = x[starts[:, None] + np.arange(WINDOW_SAMPLES)]
    frames -= frames.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(frames, 2 * WINDOW_SAMPLES)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[:, :WINDOW_SAMPLES]
    energy = np.maximum(correlation[:, :1], 1e-9)
    bias = 1.0 - np.arange(WINDOW_SAMPLES) / WINDOW_SAMPLES
    shortest, longest = int(rate_hz / high_hz), int(rate_hz / low_hz)
    normalised = (correlation / energy / np.maximum(bias, 0.1))[:, shortest:longest]
    # A slight preference for short lags keeps the tracker from falling an octave.
    lag = np.argmax(normalised - 0.0008 * np.arange(longest - shortest), axis=1)
    strength = normalised[np.arange(len(lag)), lag]
    voiced = (strength > VOICED_CORRELATION) & (energy[:, 0] > WINDOW_SAMPLES * SILENCE_RMS**2)
    return np.where(voiced, rate_hz / (lag + shortest), 0.0)


def _marks(samples: np.ndarray, f0: np.ndarray, rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
    """Return positions of period marks and the period (samples) at each; unvoiced parts get 5 ms steps."""
    x = samples.astype(np.float64)
    positions: list[int] = []
    periods: list[float] = []
    at, after_voiced = 0, False
    while at < len(x):
        frequency = f0[min(at // HOP_SAMPLES, len(f0) - 1)]
        period = rate_hz / frequency if frequency else rate_hz * 0.005
        if frequency:
            reach = int(period * (0.2 if after_voiced else 0.5))
            start = max(at - reach, 0)
            at = start + int(np.argmax(x[start : at + reach + 1]))
            if positions and at <= positions[-1]:
                at = positions[-1] + int(period)
        positions.append(at)
        periods.append(period)
        at, after_voiced = at + max(int(period), 1), bool(frequency)
    return np.array(positions), np.array(periods)


def change_pitch(samples: np.ndarray, rate_hz: int, ratio: np.ndarray) -> np.ndarray:
    """Return `samples` (T,) int16 with F0 multiplied by `ratio` (T // 80 + 1,), duration unchanged."""
    f0 = track_f0(samples, rate_hz)
    marks, periods = _marks(samples, f0, rate_hz)
    margin = int(periods.max()) + 1
    source = np.pad(samples.astype(np.float64), margin)
    output = np.zeros(len(samples) + 2 * margin)
    weight = np.zeros_like(output)
    at, nearest = float(marks[0]), 0
    while at < len(samples):
        while nearest + 1 < len(marks) and abs(marks[nearest + 1] - at) <= abs(marks[nearest] - at):
            nearest += 1
        half = int(periods[nearest])
        window = np.hanning(2 * half + 1)
        middle, target = marks[nearest] + margin, int(at) + margin
        output[target - half : target + half + 1] += window * source[middle - half : middle + half + 1]
        weight[target - half : target + half + 1] += window
        frame = min(int(at) // HOP_SAMPLES, len(f0) - 1)
        at += periods[nearest] / (ratio[min(frame, len(ratio) - 1)] if f0[frame] else 1.0)
    sound = (output / np.maximum(weight, 0.3))[margin : margin + len(samples)]
    return np.clip(sound, -32768, 32767).astype(np.int16)
