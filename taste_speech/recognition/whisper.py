"""Speech recognition with a Whisper model from transformers, on any device."""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoTokenizer, WhisperFeatureExtractor, WhisperForConditionalGeneration

from taste_speech.errors import CheckpointError
from taste_speech.recognition.base import (
    RECOGNITION_RATE_HZ,
    BufferedRecognizer,
    Recognition,
    RecognizedWord,
    split_at_quiet,
)


class WhisperRecognizer(BufferedRecognizer):
    """Recognizes speech with a Whisper model that is loaded on first use; the words have no times.

    Args:
        source: hub id or folder of a Whisper model with its tokenizer and feature extractor.
        device: device of the model, which uses float16 on CUDA and float32 elsewhere.
        language: spoken language, for multilingual models.
        local_files_only: do not download anything.
    """

    def __init__(
        self,
        source: str | Path,
        device: str | torch.device = "cpu",
        language: str = "english",
        local_files_only: bool = False,
    ) -> None:
        super().__init__()
        self.source = str(source)
        self.device = torch.device(device)
        self.language = language
        self._local_files_only = local_files_only

    def _recognize(self, audio: NDArray[np.float32]) -> Recognition:
        text = self._transcribe(audio)
        return Recognition(text, tuple(RecognizedWord(word) for word in text.split()))

    def _transcribe(self, audio: NDArray[np.float32]) -> str:
        extractor = self._extractor
        parts = split_at_quiet(audio, extractor.n_samples, extractor.sampling_rate)
        return " ".join(text for part in parts if (text := self._transcribe_part(part)))

    @torch.inference_mode()
    def _transcribe_part(self, audio: NDArray[np.float32]) -> str:
        features = self._extractor(
            audio, sampling_rate=RECOGNITION_RATE_HZ, return_tensors="pt"
        ).input_features
        options = {}
        if getattr(self._model.generation_config, "is_multilingual", False):
            options = {"language": self.language, "task": "transcribe"}
        ids = self._model.generate(features.to(self.device, self._model.dtype), **options)
        return str(self._tokenizer.decode(ids[0], skip_special_tokens=True)).strip()

    @cached_property
    def _model(self) -> Any:
        dtype = torch.float16 if self.device.type == "cuda" else torch.float32
        model = self._load(WhisperForConditionalGeneration, dtype=dtype)
        return model.to(self.device).eval()

    @cached_property
    def _extractor(self) -> Any:
        return self._load(WhisperFeatureExtractor)

    @cached_property
    def _tokenizer(self) -> Any:
        return self._load(AutoTokenizer)

    def _load(self, kind: Any, **options: Any) -> Any:
        try:
            return kind.from_pretrained(self.source, local_files_only=self._local_files_only, **options)
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"cannot load the speech recognizer {self.source!r} ({str(error).splitlines()[0]}); "
                "give the text of the audio, or name a Whisper model in recognition.whisper_name"
            ) from error
