"""Files of a checkpoint that the processor reads, from its folder or from the hub."""

import os
import shutil
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from huggingface_hub.errors import StrictDataclassError
from pydantic import ValidationError

from taste_speech.configuration_taste import TasteConfig
from taste_speech.conversion.hub import HubOptions, find_checkpoint, require_file
from taste_speech.errors import CheckpointError
from taste_speech.pretrained.smollm2 import smollm2_folder

if TYPE_CHECKING:
    from taste_speech.vocoder.voice_generator import VoiceGenerator

LLM_FOLDER, ASR_FOLDER = "llama_tokenizer", "asr"
VOICES = "voices.safetensors"
TURN_END = "turn_end.safetensors"
"""The optional network that detects whether a speaker has finished."""
_SMALL_FILES = ("config.json", f"{LLM_FOLDER}/*", f"{ASR_FOLDER}/*", VOICES, TURN_END)
_VOICE_GENERATORS = ("voice_generator*.safetensors", "cosyvoice/voice_generator.*")
_ORGANIZATIONS = {"whisper": "openai", "distil": "distil-whisper"}


class CheckpointFiles:
    """The files of a checkpoint: a folder, a shipped name, or a hub id, which is downloaded on first use."""

    def __init__(self, name_or_path: str | os.PathLike[str], **options: Unpack[HubOptions]) -> None:
        self.name = os.fspath(name_or_path)
        self._options = options

    @cached_property
    def folder(self) -> Path:
        """Folder with configuration, tokenizers and fixed voices."""
        return find_checkpoint(self.name, _SMALL_FILES, **self._options)

    def config(self) -> TasteConfig:
        """Return the checkpoint's configuration.

        Raises:
            CheckpointError: `config.json` is missing or is not a TASTE configuration.
        """
        return read_config(self.folder, self.name)

    def path(self, name: str) -> Path:
        """Return the path of one of the small files, which may not exist."""
        return self.folder / name

    def fetch(self, name: str) -> Path:
        """Return the path of a file, downloading it if necessary.

        Raises:
            CheckpointError: the checkpoint does not have it.
        """
        if self.path(name).is_file():
            return self.path(name)
        return require_file(find_checkpoint(self.name, (name,), **self._options), name, self.name)

    def llm_tokenizer_source(self, config: TasteConfig) -> Path:
        """Return the folder of the LLM tokenizer: the checkpoint's own, or that of its base model.

        Raises:
            CheckpointError: neither the checkpoint nor an installed package has it.
        """
        if config.pretrained.language_model is not None and not self.path(LLM_FOLDER).is_dir():
            return smollm2_folder()
        return require_file(self.folder, f"{LLM_FOLDER}/tokenizer.json", self.name).parent

    def asr_tokenizer_source(self, config: TasteConfig) -> str | Path:
        """Return the folder or hub id of the ASR tokenizer."""
        folder = self.path(ASR_FOLDER)
        return folder if folder.is_dir() else asr_model_name(config)

    def asr_model_source(self, config: TasteConfig) -> str | Path:
        """Return the folder or hub id of the Whisper model that recognizes speech."""
        folder = self.path(ASR_FOLDER)
        return folder if (folder / "config.json").is_file() else asr_model_name(config)

    def voice_generator(self, config: TasteConfig) -> "VoiceGenerator":
        """Load the voice generator on the CPU, in eval mode.

        Raises:
            CheckpointError: its file is missing or damaged, or does not match the configuration.
        """
        from taste_speech.vocoder.voice_generator import FILE_NAMES, VoiceGenerator, find_file

        for folder in (self.folder, find_checkpoint(self.name, _VOICE_GENERATORS, **self._options)):
            if (path := find_file(folder)) is not None:
                return VoiceGenerator.from_file(path, config.voice_generator)
        raise CheckpointError(
            f"checkpoint {self.name!r} has none of {', '.join(FILE_NAMES)}; fetch one of them into it"
        )

    def copy_extras(self, target: Path) -> None:
        """Copy all files of the folder to `target`, except for the model's weights and the tokenizers."""
        source, target = self.folder.resolve(), target.resolve()
        # The target can be inside the folder, so list the files first, and skip those in the target.
        for path in list(source.rglob("*")):
            name = path.relative_to(source)
            copied = target / name
            inside = source in target.parents and target in path.parents
            if path.is_file() and _is_extra(name) and not inside and path.resolve() != copied.resolve():
                copied.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copied)


def read_config(folder: Path, origin: str | os.PathLike[str]) -> TasteConfig:
    """Return the configuration of a checkpoint's folder.

    Args:
        origin: name of the checkpoint, for messages.

    Raises:
        CheckpointError: `config.json` is missing or is not a TASTE configuration.
    """
    path = require_file(folder, "config.json", origin)
    try:
        return TasteConfig.from_pretrained(folder)
    except (OSError, ValueError, TypeError, AttributeError, StrictDataclassError) as error:
        raise CheckpointError(f"{str(path)!r} is not a TASTE configuration: {_in_one_line(error)}") from error


def _in_one_line(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return " ".join(str(error).split())
    return "; ".join(
        f"{'.'.join(map(str, (error.title, *found['loc'])))}: {found['msg'].removeprefix('Value error, ')}"
        for found in error.errors()
    )


def asr_model_name(config: TasteConfig) -> str:
    """Return the hub id or an existing folder of the checkpoint's Whisper model.

    The published file names a folder on the machine that trained it. If it does not exist, use the hub model
    with the same base name, or else `recognition.whisper_name`.
    """
    name = config.asr_config._name_or_path or ""
    if name and Path(name).is_dir():
        return name
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return name
    base = name.rstrip("/").rpartition("/")[2]
    organization = _ORGANIZATIONS.get(base.partition("-")[0])
    return f"{organization}/{base}" if organization and "-" in base else config.recognition.whisper_name


def _is_extra(name: Path) -> bool:
    tokenizer = name.parts[0] in (LLM_FOLDER, ASR_FOLDER) and name.name.startswith(("tokenizer", "special_"))
    hidden = any(part.startswith(".") for part in name.parts)
    model = len(name.parts) == 1 and (name.name == "config.json" or name.name.startswith("model"))
    return not (tokenizer or hidden or model)
