"""Log-mel features of the audio tower, as Whisper defines them (arXiv:2212.04356, section 2.2)."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from transformers.audio_utils import mel_filter_bank

from taste_speech.audio_tower.configuration import TowerConfig

_FLOOR = 1e-10
_DYNAMIC_RANGE = 8.0
"""Decades below the loudest cell at which the log-mel is cut."""


class LogMelFeatures:
    """Computes log-mel frames with the settings of a tower."""

    def __init__(self, config: TowerConfig):
        self.config = config

    @property
    def max_samples(self) -> int:
        """Longest utterance that fits the encoder's positions, in samples."""
        return 2 * self.config.max_source_positions * self.config.hop_samples

    @property
    def max_duration_s(self) -> float:
        """`max_samples` in seconds: 30 for Whisper's sizes."""
        return self.max_samples / self.config.sampling_rate_hz

    def __call__(self, samples: Tensor | np.ndarray) -> Tensor:
        """(samples,) float32 at the tower's rate -> (1, mel frames, bins).

        Where the checkpoint was trained so (`source_windows`, `pad_to_max_source`) the audio is padded with
        silence, or cut, to a window's length; else there are as many frames as the audio has hops, at least
        one.
        """
        audio = torch.as_tensor(samples, dtype=torch.float32)
        length = audio.shape[0]
        if self.config.source_windows:
            length = 2 * self.config.window_of(self.frame_count(length)) * self.config.hop_samples
        elif self.config.pad_to_max_source:
            length = self.max_samples
        audio = torch.nn.functional.pad(audio[:length], (0, max(0, length - audio.shape[0])))
        return self.normalize(self.raw(audio))[None]

    def batch(self, recordings: Sequence[Tensor | np.ndarray]) -> tuple[Tensor, Tensor]:
        """Features of several recordings, zero padded to the longest, and the mel frames of each (batch,)."""
        features = [self(recording)[0] for recording in recordings]
        counts = torch.tensor([item.shape[0] for item in features])
        return torch.nn.utils.rnn.pad_sequence(features, batch_first=True), counts

    def frame_count(self, n_samples: int) -> int:
        """Mel frames of that many samples without padding to the full length."""
        return max(n_samples, self.config.n_fft) // self.config.hop_samples

    def raw(self, audio: Tensor) -> Tensor:
        """(samples,) -> (mel frames, bins), base-10 logarithm before the cut that depends on the utterance.

        Audio shorter than one window is padded with silence to one.
        """
        config = self.config
        audio = torch.nn.functional.pad(audio, (0, max(0, config.n_fft - audio.shape[0])))
        return self._log_mel(audio)[: audio.shape[0] // config.hop_samples]

    @staticmethod
    def normalize(raw: Tensor, peak: Tensor | None = None) -> Tensor:
        """Cut (frames, bins) eight decades below `peak` (default: their maximum), scale to about [-1, 1]."""
        peak = raw.max() if peak is None else peak
        return (torch.maximum(raw, peak - _DYNAMIC_RANGE) + 4.0) / 4.0

    def _log_mel(self, audio: Tensor) -> Tensor:
        """(samples,) -> (frames, bins)."""
        spectrum = torch.stft(
            audio,
            self.config.n_fft,
            self.config.hop_samples,
            window=self._window.to(audio.device),
            pad_mode="reflect",
            return_complex=True,
        )
        power = spectrum.abs().square()
        return (self._filters.to(audio.device) @ power).clamp(min=_FLOOR).log10().T

    @cached_property
    def _window(self) -> Tensor:
        return torch.hann_window(self.config.n_fft)

    @cached_property
    def _filters(self) -> Tensor:
        """(bins, n_fft // 2 + 1): Slaney's mel scale and area norm, from 0 Hz to half the rate."""
        filters = mel_filter_bank(
            num_frequency_bins=self.config.n_fft // 2 + 1,
            num_mel_filters=self.config.num_mel_bins,
            min_frequency=0.0,
            max_frequency=self.config.sampling_rate_hz / 2,
            sampling_rate=self.config.sampling_rate_hz,
            norm="slaney",
            mel_scale="slaney",
        )
        return torch.from_numpy(filters.T).float()
