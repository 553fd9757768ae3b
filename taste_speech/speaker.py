"""Speaker embeddings: from reference recordings through an ONNX encoder, or fixed voices of a checkpoint."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from torchaudio.compliance import kaldi

from taste_speech.audio_io import Samples, load_audio, prepare_audio
from taste_speech.errors import AudioError, CheckpointError
from taste_speech.sound_file import STDIN

SPEAKER_RATE_HZ = 16000
"""Rate that the speaker encoder was trained with."""
_FBANK_BINS = 80
_MIN_DURATION_S = 0.1

Reference = Any
"""A path, an array of samples or the name of a fixed voice."""


def fbank_features(samples: Samples) -> np.ndarray:
    """Return Kaldi filter banks of 16 kHz samples, (1, frames, 80) float32, each bin with zero mean."""
    features = kaldi.fbank(
        torch.from_numpy(np.asarray(samples, np.float32))[None],
        num_mel_bins=_FBANK_BINS,
        dither=0.0,
        sample_frequency=SPEAKER_RATE_HZ,
    )
    return (features - features.mean(dim=0, keepdim=True))[None].numpy()


class SpeakerEncoder:
    """Embeds voices, each reference once.

    Args:
        encode: (1, frames, 80) filter banks -> flat embedding, such as an `OnnxModel`.
        voices: fixed voices by name, each (1, size).
    """

    def __init__(self, encode: Callable[[np.ndarray], np.ndarray], voices: dict[str, Tensor] | None = None):
        self._encode = encode
        self.voices = voices or {}
        self._cache: dict[str, Tensor] = {}

    def embed(self, reference: Reference, sampling_rate_hz: int = SPEAKER_RATE_HZ) -> Tensor:
        """Return the embedding (1, size) of one reference: name of a fixed voice, sound file, or samples.

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
        """Return the mean embedding (1, size) of the references, scaled to unit length.

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
                f"expected at least {1000 * _MIN_DURATION_S:.0f} ms, better some seconds, of the voice"
            )
        return samples

    def _hint(self) -> str:
        return f"; voices of this checkpoint: {', '.join(sorted(self.voices))}" if self.voices else ""


def load_voices(path: Path) -> dict[str, Tensor]:
    """Return the fixed voices in a safetensors file, name -> (1, size); empty when there is no file.

    Raises:
        CheckpointError: the file is damaged.
    """
    if not path.is_file():
        return {}
    try:
        tensors = load_file(path)
    except Exception as error:  # the reader has an exception type of its own for each kind of damage
        raise CheckpointError(f"cannot read the voices in {str(path)!r} ({error}); fetch it again") from error
    return {name: tensor.float().reshape(1, -1) for name, tensor in tensors.items()}


def _cache_key(reference: Reference, sampling_rate_hz: int) -> str:
    """Return what identifies a recording: path, size and time of a file; hash of samples."""
    if isinstance(reference, str | Path):
        path = Path(reference)
        stat = path.stat() if path.is_file() else None
        return f"{path.resolve()}:{stat and (stat.st_size, stat.st_mtime_ns)}"
    array = reference.detach().cpu().float().numpy() if isinstance(reference, Tensor) else reference
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return f"{digest}:{sampling_rate_hz}"
