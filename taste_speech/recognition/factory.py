"""The recogniser that a checkpoint's configuration names."""

import torch

from taste_speech.checkpoint_files import CheckpointFiles
from taste_speech.configuration_taste import TasteConfig
from taste_speech.recognition.base import Recognizer

BACKENDS = ("whisper", "pocketsphinx")


def make_recognizer(
    config: TasteConfig,
    files: CheckpointFiles,
    backend: str | None = None,
    device: str | torch.device | None = None,
) -> Recognizer:
    """A recogniser, which loads its models on first use.

    Args:
        backend: `whisper` or `pocketsphinx`; None: the checkpoint's.
        device: for Whisper; None: CUDA where there is one, else the CPU.

    Raises:
        ValueError: unknown backend.
    """
    backend = backend or config.recognition.backend
    if backend == "whisper":
        from taste_speech.recognition.whisper import WhisperRecognizer

        chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
        return WhisperRecognizer(files.asr_model_source(config), chosen, config.recognition.language)
    if backend == "pocketsphinx":
        return _pocketsphinx(config, files)
    raise ValueError(f"unknown recogniser {backend!r}; choose one of {', '.join(BACKENDS)}")


def _pocketsphinx(config: TasteConfig, files: CheckpointFiles) -> Recognizer:
    from taste_speech.recognition.pocketsphinx import PocketSphinxRecognizer

    settings = config.recognition
    return PocketSphinxRecognizer(
        language_model=files.fetch(settings.language_model) if settings.language_model else None,
        dictionary=files.fetch(settings.dictionary) if settings.dictionary else None,
    )
