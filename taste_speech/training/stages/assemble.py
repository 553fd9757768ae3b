"""Stage `assemble`: the parts of a run as one checkpoint in the published layout.

A part whose stage has not finished is taken from its last saved state, and the model card says so.
"""

import logging
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from taste_speech.checkpoint_files import ASR_FOLDER, LLM_FOLDER, UNITS, VOICES
from taste_speech.configuration_base import StrictSection
from taste_speech.modeling_taste import TasteForCausalLM
from taste_speech.pretrained.whisper import TINY_EN
from taste_speech.training.config import StageContext
from taste_speech.training.corpus.recognition_model import (
    DICTIONARY_NAME,
    LANGUAGE_MODEL_NAME,
    recognition_sentences,
)
from taste_speech.training.model_card import write_model_card
from taste_speech.training.stages import autoencoder, phones
from taste_speech.training.voices import fixed_embedding
from taste_speech.vocoder.voice_generator import VoiceGenerator

logger = logging.getLogger(__name__)


class Settings(StrictSection):
    """Of the assembled checkpoint."""

    output: Path | None = None
    """Folder of the checkpoint; None: folder `assemble` of the run."""
    voices: list[str] = ["rms"]
    max_shard_size: int | str = 14_000_000
    max_total_bytes: int = 40_000_000
    recognition_talks: int = 20_000


class Parts:
    """Weights of the stages, and which of them are provisional."""

    def __init__(self, context: StageContext) -> None:
        self.context = context
        self.provisional: list[str] = []

    def weights(self, stage: str, name: str, prefix: str = "") -> dict[str, Tensor] | None:
        """Tensors of a stage's file, else those below `prefix` of its last state, else None."""
        folder = self.context.folder(stage)
        if (folder / f"{name}.safetensors").exists():
            return load_file(folder / f"{name}.safetensors")
        self.provisional.append(name)
        if not (folder / "state.pt").exists():
            return None
        state = torch.load(folder / "state.pt", weights_only=True, map_location="cpu")["module"]
        return {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}

    def fill(self, module: nn.Module, stage: str, name: str, prefix: str = "") -> None:
        """Load a stage's weights into a module; left random, with a warning, where there are none."""
        weights = self.weights(stage, name, prefix)
        if weights is None:
            logger.warning("stage %s has left no weights: %s stays random", stage, name)
        else:
            module.load_state_dict(weights)


def run(settings: Settings, context: StageContext) -> None:
    """Write the checkpoint; raises ValueError if it is larger than it may be."""
    target = settings.output or context.folder("assemble") / context.root.name
    target.mkdir(parents=True, exist_ok=True)
    parts = Parts(context)
    model = TasteForCausalLM(context.config)
    _fill_autoencoder(model, parts, context)
    parts.fill(model.spoken_lm, "spoken_lm", "spoken_lm", "lm.")
    _configure_recognition(target, model, settings, context)
    model.save_pretrained(target, dtype=torch.float16, max_shard_size=settings.max_shard_size)
    generator = VoiceGenerator(context.config.voice_generator)
    parts.fill(generator.flow, "flow", "flow")
    parts.fill(generator.hift, "vocoder", "hift")
    generator.save_pretrained(target, torch.float16, settings.max_shard_size)
    size = context.config.voice_generator.speaker_embed_dim
    save_file({name: fixed_embedding(name, size) for name in settings.voices}, target / VOICES)
    for folder in (ASR_FOLDER, LLM_FOLDER):
        shutil.copytree(context.folder("tokenizers") / folder, target / folder, dirs_exist_ok=True)
    _keep_units(context.folder("units") / Path(UNITS).name, target / UNITS)
    write_model_card(target, model, generator, parts.provisional)
    total = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    logger.info("assembled %s: %.1f MB", target, total / 1e6)
    if total > settings.max_total_bytes:
        raise ValueError(
            f"the checkpoint has {total} bytes, allowed are {settings.max_total_bytes}; make a part smaller"
        )


def _keep_units(source: Path, target: Path) -> None:
    """What the units stand for, so that training can go on from the checkpoint."""
    if source.exists():
        target.parent.mkdir(exist_ok=True)
        save_file({name: tensor for name, tensor in load_file(source).items() if name != "centroids"}, target)


def _fill_autoencoder(model: TasteForCausalLM, parts: Parts, context: StageContext) -> None:
    """Tower and unit decoder; both from the last state while taste tokens still change: they go together."""
    state = context.folder("autoencoder") / "state.pt"
    if autoencoder.final_tower(context) is None and state.exists():
        trained = autoencoder.trained_autoencoder(autoencoder.Settings(), context)
        model.audio_tower.load_state_dict(trained.tower.state_dict())
        model.speech_decoder.load_state_dict(trained.decoder.state_dict())
        parts.provisional += ["audio_tower", "speech_decoder"]
        return
    parts.fill(model.audio_tower, "autoencoder", "audio_tower")
    parts.fill(model.speech_decoder, "autoencoder", "speech_decoder", "decoder.")


def _configure_recognition(
    target: Path, model: TasteForCausalLM, settings: Settings, context: StageContext
) -> None:
    """Language model, dictionary and acoustic model, and their names in the configuration."""
    folder = target / "recognition"
    has_weights = phones.write_recogniser(folder, context, recognition_sentences(settings.recognition_talks))
    recognition = model.config.recognition
    recognition.backend = "combined" if has_weights else "pocketsphinx"
    recognition.whisper_name = TINY_EN
    recognition.language_model = f"{folder.name}/{LANGUAGE_MODEL_NAME}"
    recognition.dictionary = f"{folder.name}/{DICTIONARY_NAME}"
    if has_weights:
        recognition.acoustic_model = f"{folder.name}/{phones.OUTPUT_NAME}"
