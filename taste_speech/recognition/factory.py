"""The recogniser that a checkpoint's configuration names."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from taste_speech.checkpoint_files import CheckpointFiles
from taste_speech.configuration_taste import TasteConfig
from taste_speech.pretrained.whisper import TINY_EN, tiny_en_folder
from taste_speech.recognition.base import Recognizer

if TYPE_CHECKING:
    from taste_speech.recognition.ctc import CtcRecognizer
    from taste_speech.recognition.own_process import PocketSphinxProcess
    from taste_speech.recognition.pocketsphinx import PocketSphinxRecognizer

BACKENDS = ("whisper", "pocketsphinx", "ctc", "combined")


def make_recognizer(
    config: TasteConfig,
    files: CheckpointFiles,
    backend: str | None = None,
    device: str | torch.device | None = None,
    own_process: bool = False,
) -> Recognizer:
    """A recogniser, which loads its models on first use.

    Args:
        backend: one of `BACKENDS`; None: the checkpoint's.
        device: for Whisper; None: CUDA where there is one, else the CPU.
        own_process: whether PocketSphinx runs beside this process, which it would hold up while it decodes;
            it then loads at once.

    Raises:
        ValueError: unknown backend, or one that this checkpoint has no files for.
    """
    backend = backend or config.recognition.backend
    if backend == "whisper":
        return _whisper(files.asr_model_source(config), config, device)
    if backend == "pocketsphinx":
        return _pocketsphinx(config, files, own_process)
    if backend == "ctc":
        return _ctc(config, files)
    if backend == "combined":
        from taste_speech.recognition.combined import CombinedRecognizer

        return CombinedRecognizer(_pocketsphinx(config, files, own_process), _ctc(config, files))
    raise ValueError(f"unknown recogniser {backend!r}; choose one of {', '.join(BACKENDS)}")


def _whisper(source: str | Path, config: TasteConfig, device: str | torch.device | None) -> Recognizer:
    if source == TINY_EN:
        from taste_speech.recognition.english_whisper import EnglishWhisper
        from taste_speech.recognition.packaged_whisper import PackagedWhisper

        return PackagedWhisper(lambda: EnglishWhisper(tiny_en_folder()))
    from taste_speech.recognition.whisper import WhisperRecognizer

    chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return WhisperRecognizer(source, chosen, config.recognition.language)


def _pocketsphinx(
    config: TasteConfig, files: CheckpointFiles, own_process: bool
) -> "PocketSphinxRecognizer | PocketSphinxProcess":
    from taste_speech.recognition.own_process import PocketSphinxProcess
    from taste_speech.recognition.pocketsphinx import PocketSphinxRecognizer

    settings = config.recognition
    kind = PocketSphinxProcess if own_process else PocketSphinxRecognizer
    return kind(
        language_model=files.fetch(settings.language_model) if settings.language_model else None,
        dictionary=files.fetch(settings.dictionary) if settings.dictionary else None,
    )


def _ctc(config: TasteConfig, files: CheckpointFiles) -> "CtcRecognizer":
    from taste_speech.recognition.ctc import CtcRecognizer

    settings = config.recognition
    weights, ngrams, words = settings.acoustic_model, settings.language_model, settings.dictionary
    if config.tower is None or not (weights and ngrams and words):
        raise ValueError(
            "this checkpoint has no acoustic model of its own, which 'ctc' and 'combined' need; "
            "choose 'whisper' or 'pocketsphinx'"
        )
    return CtcRecognizer(
        files.fetch(weights), files.fetch(ngrams), files.fetch(words), settings.acoustic, config.tower
    )
