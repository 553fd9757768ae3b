"""Speaker embeddings and speech units of recordings, from a checkpoint's ONNX models; fixed voices."""

import hashlib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from torchaudio.compliance import kaldi

from taste_speech.audio_io import Samples, load_audio, prepare_audio
from taste_speech.configuration_sections import TowerConfig
from taste_speech.errors import AudioError, CheckpointError
from taste_speech.features import LogMelFeatures
from taste_speech.sound_file import STDIN

SPEAKER_RATE_HZ = 16000
"""Sampling rate that the speaker encoder was trained with."""
_FBANK_BINS = 80
_MIN_DURATION_S = 0.1

Reference = Any
"""A path, an array of samples, or the name of a fixed voice."""


class OnnxModel:
    """A model with positional inputs and one output, loaded on first use; it runs on one CPU thread."""

    def __init__(self, path: Path):
        self.path = path

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        """Run the model; return its first output, flattened.

        Raises:
            CheckpointError: the file does not exist.
        """
        names = [node.name for node in self._session.get_inputs()]
        return self._session.run(None, dict(zip(names, inputs, strict=True)))[0].reshape(-1)

    @cached_property
    def _session(self) -> Any:
        import onnxruntime  # takes a second to import, and fixed voices do not need it

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
    """Extracts speech units, 50 per second, with a checkpoint's ONNX speech tokenizer."""

    def __init__(self, model: OnnxModel):
        self._model = model
        self._features = LogMelFeatures(TowerConfig(pad_to_max_source=False))  # 128 bins, like Whisper's

    def __call__(self, samples: Samples) -> Tensor:
        """(samples,) at 16 kHz, at most 30 s -> (1, units) int64."""
        features = self._features(torch.from_numpy(samples)).transpose(1, 2)  # (1, bins, frames)
        frames = np.array([features.shape[2]], dtype=np.int32)
        return torch.from_numpy(self._model(features.numpy(), frames)).long()[None]


def fbank_features(samples: Samples) -> np.ndarray:
    """Return Kaldi filter banks of 16 kHz samples: (1, frames, 80) float32, each bin with zero mean."""
    features = kaldi.fbank(
        torch.from_numpy(np.asarray(samples, np.float32))[None],
        num_mel_bins=_FBANK_BINS,
        dither=0.0,
        sample_frequency=SPEAKER_RATE_HZ,
    )
    return (features - features.mean(dim=0, keepdim=True))[None].numpy()


class SpeakerEncoder:
    """Turns reference recordings into speaker embeddings; each reference is encoded once.

    Args:
        encode: (1, frames, 80) filter banks -> flat embedding, for example an `OnnxModel`.
        voices: fixed voices by name, each (1, size).
    """

    def __init__(self, encode: Callable[[np.ndarray], np.ndarray], voices: dict[str, Tensor] | None = None):
        self._encode = encode
        self.voices = voices or {}
        self._cache: dict[str, Tensor] = {}

    def embed(self, reference: Reference, sampling_rate_hz: int = SPEAKER_RATE_HZ) -> Tensor:
        """Return the embedding (1, size) of a fixed voice, a sound file or samples.

        Raises:
            AudioError: the reference is neither a voice nor usable audio.
        """
        if isinstance(reference, str) and reference in self.voices:
            return self.voices[reference]
        key = _cache_key(reference, sampling_rate_hz)
        if key not in self._cache:
            samples = self._samples(reference, sampling_rate_hz)
            self._cache[key] = torch.from_numpy(self._encode(fbank_features(samples))).float()[None]
        return self._cache[key]

    def embed_all(self, references: list[Reference], sampling_rate_hz: int = SPEAKER_RATE_HZ) -> Tensor:
        """Return the mean embedding (1, size) of the references, normalized to unit length.

        Raises:
            AudioError: there are none, or one is neither a voice nor usable audio.
        """
        if not references:
            raise AudioError("no reference audio; give at least one path, array or voice name" + self._hint())
        mean = torch.stack([self.embed(item, sampling_rate_hz) for item in references]).mean(dim=0)
        return torch.nn.functional.normalize(mean, dim=-1)

    def _samples(self, reference: Reference, sampling_rate_hz: int) -> Samples:
        if isinstance(reference, str | Path):
            if self.voices and not (Path(reference).exists() or Path(reference) == STDIN):
                raise AudioError(f"no voice and no audio file {str(reference)!r}{self._hint()}")
            samples = load_audio(reference, SPEAKER_RATE_HZ)
        else:
            samples = prepare_audio(reference, sampling_rate_hz, SPEAKER_RATE_HZ, name="reference audio")
        if samples.size < _MIN_DURATION_S * SPEAKER_RATE_HZ:
            raise AudioError(
                f"the reference audio lasts {1000 * samples.size / SPEAKER_RATE_HZ:.0f} ms; "
                f"expected at least {1000 * _MIN_DURATION_S:.0f} ms of speech, and preferably several seconds"
            )
        return samples

    def _hint(self) -> str:
        return f"; voices of this checkpoint: {', '.join(sorted(self.voices))}" if self.voices else ""


def load_voices(path: Path) -> dict[str, Tensor]:
    """Return the fixed voices of a safetensors file, name -> (1, size); empty if there is no file.

    Raises:
        CheckpointError: the file is damaged.
    """
    if not path.is_file():
        return {}
    try:
        tensors = load_file(path)
    except Exception as error:  # each kind of damage raises its own type of exception
        raise CheckpointError(f"cannot read the voices in {str(path)!r} ({error}); fetch it again") from error
    return {name: tensor.float().reshape(1, -1) for name, tensor in tensors.items()}


def _cache_key(reference: Reference, sampling_rate_hz: int) -> str:
    """Identify a recording by path, size and time of its file, or by a hash of its samples."""
    if isinstance(reference, str | Path):
        path = Path(reference)
        stat = path.stat() if path.is_file() else None
        return f"{path.resolve()}:{stat and (stat.st_size, stat.st_mtime_ns)}"
    array = reference.detach().cpu().float().numpy() if isinstance(reference, Tensor) else reference
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return f"{digest}:{sampling_rate_hz}"
