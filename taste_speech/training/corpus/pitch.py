"""Fundamental frequency of training audio (Praat's autocorrelation method)."""

import numpy as np
import parselmouth


def pitch_hz(
    audio: np.ndarray,
    rate_hz: int,
    centers_s: np.ndarray,
    floor_hz: float = 60.0,
    ceiling_hz: float = 400.0,
) -> np.ndarray:
    """F0 in Hz at the times `centers_s`, 0 where unvoiced.

    Args:
        audio: (samples,) float in [-1, 1].
        rate_hz: its sampling rate.
        centers_s: (frames,) center of each frame in seconds.
    """
    if len(audio) < 3 * rate_hz / floor_hz:
        return np.zeros(len(centers_s), np.float32)
    pitch = parselmouth.Sound(audio.astype(np.float64), rate_hz).to_pitch_ac(
        time_step=0.005, pitch_floor=floor_hz, pitch_ceiling=ceiling_hz
    )
    track = pitch.selected_array["frequency"]
    index = np.rint((centers_s - pitch.t1) / pitch.dt).astype(int)
    inside = (index >= 0) & (index < len(track))
    values = np.zeros(len(centers_s), np.float32)
    values[inside] = track[index[inside]]
    return values
