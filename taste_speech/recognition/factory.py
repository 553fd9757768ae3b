"""The recognizer named in a checkpoint's configuration."""

import torch

from taste_speech.checkpoint_files import TURN_END, CheckpointFiles
from taste_speech.configuration_taste import TasteConfig
from taste_speech.pretrained.whisper import TINY_EN
from taste_speech.recognition.base import Recognizer
from taste_speech.recognition.turn_end import load_turn_end


def make_recognizer(
    config: TasteConfig, files: CheckpointFiles, device: str | torch.device | None = None
) -> Recognizer:
    """Return the checkpoint's recognizer, which loads its model on first use.

    Args:
        config: configuration of the checkpoint.
        files: files of the checkpoint, which may include a Whisper model.
        device: device of a Whisper model other than tiny.en; None uses CUDA if available, else the CPU.
    """
    source = files.asr_model_source(config)
    if source == TINY_EN:
        from taste_speech.recognition.english_recognizer import EnglishRecognizer
        from taste_speech.recognition.english_whisper import tiny_en

        turn_end = files.path(TURN_END)
        return EnglishRecognizer(tiny_en, load_turn_end(turn_end) if turn_end.is_file() else None)
    from taste_speech.recognition.whisper import WhisperRecognizer

    chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return WhisperRecognizer(source, chosen, config.recognition.language)
