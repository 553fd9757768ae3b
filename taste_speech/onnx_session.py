"""ONNX models of a checkpoint: one thread each, on the CPU, opened on first use."""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from taste_speech.errors import CheckpointError


class OnnxModel:
    """A model whose inputs go by position and whose first output is what we want."""

    def __init__(self, path: Path):
        self.path = path

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        """Run on the inputs in the order in which the model declares them; the first output, flattened."""
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
