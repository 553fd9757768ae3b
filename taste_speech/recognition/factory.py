"""The recognizer that a checkpoint's configuration names."""

from functools import cache

import torch

from taste_speech.checkpoint_files import CheckpointFiles
from taste_speech.configuration_taste import TasteConfig
from taste_speech.pretrained.whisper import TINY_EN, tiny_en_folder
from taste_speech.recognition.base import Recognizer
from taste_speech.recognition.english_whisper import EnglishWhisper


def make_recognizer(
    config: TasteConfig, files: CheckpointFiles, device: str | torch.device | None = None
) -> Recognizer:
    """Make a recognizer, which loads its model on first use.

    Args:
        config: of the checkpoint.
        files: of the checkpoint, which may hold a Whisper model.
        device: of a Whisper model that is no package's; None: CUDA where there is one, else the CPU.
    """
    source = files.asr_model_source(config)
    if source == TINY_EN:
        from taste_speech.recognition.english_recognizer import EnglishRecognizer

        return EnglishRecognizer(english_whisper)
    from taste_speech.recognition.whisper import WhisperRecognizer

    chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return WhisperRecognizer(source, chosen, config.recognition.language)


@cache
def english_whisper() -> EnglishWhisper:
    """Return Whisper tiny.en, loaded at the first call.

    Raises:
        CheckpointError: the package that holds it is missing.
    """
    return EnglishWhisper(tiny_en_folder())
