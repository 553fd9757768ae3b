"""Log-mel features of the audio tower, as Whisper defines them (arXiv:2212.04356, section 2.2)."""

from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from transformers.audio_utils import mel_filter_bank

from taste_speech.configuration_sections import TowerConfig

_FLOOR = 1e-10
_DYNAMIC_RANGE = 8.0
"""Dynamic range of the log-mel spectrogram below its maximum, in powers of ten."""


class LogMelFeatures:
    """Computes log-mel features with the settings of an audio tower."""

    def __init__(self, config: TowerConfig):
        self.config = config

    @property
    def max_samples(self) -> int:
        """Maximum length of an utterance in samples."""
        return 2 * self.config.max_source_positions * self.config.hop_samples

    @property
    def max_duration_s(self) -> float:
        """`max_samples` in seconds: 30 for Whisper's sizes."""
        return self.max_samples / self.config.sampling_rate_hz

    def __call__(self, samples: Tensor | np.ndarray) -> Tensor:
        """(samples,) float32 at the tower's rate -> (1, mel frames, bins), scaled to about [-1, 1].

        With `source_windows` or `pad_to_max_source` the audio is padded with silence, or cut, to the length
        of a window. Otherwise there is one frame per hop, and short audio is padded to one FFT.
        """
        config = self.config
        audio = torch.as_tensor(samples, dtype=torch.float32)
        length = audio.shape[0]
        if config.source_windows:
            length = 2 * config.window_of(self.frame_count(length)) * config.hop_samples
        elif config.pad_to_max_source:
            length = self.max_samples
        length = max(length, config.n_fft)
        audio = torch.nn.functional.pad(audio[:length], (0, max(0, length - audio.shape[0])))
        window = self._window.to(audio.device)
        spectrum = torch.stft(
            audio, config.n_fft, config.hop_samples, window=window, pad_mode="reflect", return_complex=True
        )
        mel = self._filters.to(audio.device) @ spectrum.abs().square()
        log_mel = mel.clamp(min=_FLOOR).log10().T[: length // config.hop_samples]
        return ((torch.maximum(log_mel, log_mel.max() - _DYNAMIC_RANGE) + 4.0) / 4.0)[None]

    def frame_count(self, n_samples: int) -> int:
        """Return the number of mel frames of `n_samples` without padding."""
        return max(n_samples, self.config.n_fft) // self.config.hop_samples

    @cached_property
    def _window(self) -> Tensor:
        return torch.hann_window(self.config.n_fft)

    @cached_property
    def _filters(self) -> Tensor:
        """(bins, n_fft // 2 + 1), with Slaney's mel scale and normalization, from 0 Hz to half the rate."""
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
