"""ONNX models of a checkpoint, on the CPU with one thread, and the speech units that one of them extracts."""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from taste_speech.audio_io import Samples
from taste_speech.audio_tower.configuration import TowerConfig
from taste_speech.errors import CheckpointError
from taste_speech.features import LogMelFeatures


class OnnxModel:
    """A model with positional inputs, opened on first use; only its first output is read."""

    def __init__(self, path: Path):
        self.path = path

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        """Run on the inputs in the order in which the model declares them; return its output, flattened.

        Raises:
            CheckpointError: there is no such file.
        """
        names = [node.name for node in self._session.get_inputs()]
        return self._session.run(None, dict(zip(names, inputs, strict=True)))[0].reshape(-1)

    @cached_property
    def _session(self) -> Any:
        import onnxruntime  # its import takes a second, and fixed voices do not need it

        if not self.path.is_file():
            raise CheckpointError(
                f"the checkpoint has no {self.path.name} (expected at {str(self.path)!r}); "
                "use one of its fixed voices, or a complete copy of the checkpoint"
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        return onnxruntime.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])


class SpeechUnitExtractor:
    """Extracts speech units, 50 per second, through a checkpoint's ONNX speech tokenizer."""

    def __init__(self, model: OnnxModel):
        self._model = model
        self._features = LogMelFeatures(TowerConfig(pad_to_max_source=False))  # 128 bins, as Whisper's

    def __call__(self, samples: Samples) -> Tensor:
        """(samples,) at 16 kHz, at most 30 s -> (1, units) int64."""
        features = self._features(torch.from_numpy(samples)).transpose(1, 2)  # (1, bins, frames)
        frames = np.array([features.shape[2]], dtype=np.int32)
        return torch.from_numpy(self._model(features.numpy(), frames)).long()[None]
