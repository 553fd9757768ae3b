"""Speech units of a recording, through the ONNX speech tokenizer of a checkpoint that has one."""

import numpy as np
import torch
from torch import Tensor

from taste_speech.audio_io import Samples
from taste_speech.audio_tower.configuration import TowerConfig
from taste_speech.features import LogMelFeatures
from taste_speech.onnx_session import OnnxModel

_TOKENIZER_FEATURES = TowerConfig(pad_to_max_source=False)
"""The speech tokenizer reads 128-bin Whisper features of the recording as long as it is."""


class SpeechUnitExtractor:
    """16 kHz samples -> speech units, 50 per second."""

    def __init__(self, model: OnnxModel):
        self._model = model
        self._features = LogMelFeatures(_TOKENIZER_FEATURES)

    def __call__(self, samples: Samples) -> Tensor:
        """(samples,) of at most 30 s -> (1, units) int64."""
        features = self._features(torch.from_numpy(samples)).transpose(1, 2)  # (1, bins, frames)
        frames = np.array([features.shape[2]], dtype=np.int32)
        return torch.from_numpy(self._model(features.numpy(), frames)).long()[None]
