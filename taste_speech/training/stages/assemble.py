"""Stage `assemble`: the parts of a run as one checkpoint in the published layout.

Of the pretrained models that it builds on only what was trained beside them is written. A part whose stage
has not finished is taken from its last saved state, and the model card says so. What no stage has trained is
that of the checkpoint to begin with.
"""

import copy
import logging
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from taste_speech.checkpoint_files import LLM_FOLDER, TURN_END, VOICES
from taste_speech.configuration_base import StrictSection
from taste_speech.conversion.names import published_state
from taste_speech.conversion.weights import write_state
from taste_speech.training.config import StageContext
from taste_speech.training.corpus.voice_features import fixed_embedding, stored_voice
from taste_speech.training.model_card import write_model_card
from taste_speech.training.stages.mind import is_ours, published_name, stored_in
from taste_speech.vocoder.voice_generator import VoiceGenerator

logger = logging.getLogger(__name__)


class Settings(StrictSection):
    """Of the assembled checkpoint."""

    output: Path | None = None
    """Folder of the checkpoint; None: folder `assemble` of the run."""
    voices: dict[str, str] = {"heart": "heart"}
    """By its name in the checkpoint, the name by which the stages know each voice."""
    max_shard_size: int | str = 14_000_000
    max_total_bytes: int = 45_000_000


class Parts:
    """Weights of the stages, and which of them are provisional."""

    def __init__(self, context: StageContext) -> None:
        self.context = context
        self.provisional: list[str] = []

    def start_for(self, stage: str) -> Path | None:
        """Return the checkpoint to begin with if a stage has made nothing yet, else None."""
        return None if any(self.context.folder(stage).iterdir()) else self.context.start

    def weights(self, stage: str, name: str, prefix: str = "") -> dict[str, Tensor]:
        """Return the tensors of a stage's file, or those below `prefix` of its last state if that is newer.

        Raises:
            FileNotFoundError: the stage has not begun.
        """
        folder = self.context.folder(stage)
        written, state_path = folder / f"{name}.safetensors", folder / "state.pt"
        if not written.exists() and not state_path.exists():
            raise FileNotFoundError(f"stage {stage} has left nothing in {folder}; run it first")
        # A stage that was stopped has written its weights, and may have gone on since.
        goes_on = state_path.exists() and (
            not written.exists() or written.stat().st_mtime_ns < state_path.stat().st_mtime_ns
        )
        if not goes_on:
            return load_file(written)
        self.provisional.append(name)
        state = torch.load(state_path, weights_only=True, map_location="cpu", mmap=True)["module"]
        return {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}


def run(settings: Settings, context: StageContext) -> None:
    """Write the checkpoint; raises ValueError if it is larger than it may be."""
    target = settings.output or context.folder("assemble") / context.root.name
    target.mkdir(parents=True, exist_ok=True)
    parts = Parts(context)
    state = own_state(parts, context)
    write_state(state, target, torch.float16, settings.max_shard_size)
    config = copy.deepcopy(context.config)
    config.architectures = ["TasteForCausalLM"]
    config.save_pretrained(target)
    generator = VoiceGenerator(config.voice_generator)
    for stage, name in (("flow", "flow"), ("vocoder", "hift")):
        start = parts.start_for(stage)
        own = parts.weights(stage, name) if start is None else stored_voice(start, name)
        getattr(generator, name).load_state_dict(own)
    generator.save_pretrained(target, torch.float16, settings.max_shard_size)
    size = config.voice_generator.speaker_embed_dim
    vectors = {name: fixed_embedding(known, size) for name, known in settings.voices.items()}
    save_file(vectors, target / VOICES)
    if (start := parts.start_for("mind")) is not None and (start / LLM_FOLDER).is_dir():
        shutil.copytree(start / LLM_FOLDER, target / LLM_FOLDER, dirs_exist_ok=True)
    start = parts.start_for("turn_ends")
    turn_end = (context.folder("turn_ends") if start is None else start) / TURN_END
    if turn_end.is_file():
        save_file({name: value.half() for name, value in load_file(turn_end).items()}, target / TURN_END)
    write_model_card(target, _counts(state, generator), parts.provisional, context.start is not None)
    total = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    logger.info("assembled %s: %.1f MB", target, total / 1e6)
    if total > settings.max_total_bytes:
        raise ValueError(
            f"the checkpoint has {total} bytes, but at most {settings.max_total_bytes} are allowed; "
            "make a part smaller"
        )


def own_state(parts: Parts, context: StageContext) -> dict[str, Tensor]:
    """Return what was trained under published names: all but the pretrained language model and encoder."""
    kept: dict[str, Tensor] = {}
    tower: dict[str, Tensor] = {}
    decoder: dict[str, Tensor] = {}
    mind: dict[str, Tensor] = {}
    if (start := parts.start_for("taste")) is not None:
        kept |= stored_in(start, "audio_tower.", "speech_decoder.")
    else:
        tower = parts.weights("taste", "audio_tower", "tower.")
        decoder = parts.weights("taste", "speech_decoder", "decoder.")
    if (start := parts.start_for("mind")) is not None:
        kept |= stored_in(start, "spoken_lm.")
    else:
        mind = parts.weights("mind", "spoken_lm", "lm.")
    state = {f"audio_tower.{name}": value for name, value in tower.items()}
    state |= {f"speech_decoder.{name}": value for name, value in decoder.items()}
    spoken = {published_name(name): value for name, value in mind.items() if is_ours(name)}
    return published_state(state) | spoken | kept


def _counts(state: dict[str, Tensor], generator: nn.Module) -> dict[str, int]:
    """Return the number of parameters of each part."""

    def count(prefix: str) -> int:
        return sum(value.numel() for name, value in state.items() if name.startswith(prefix))

    return {
        "audio tower": count("audio_tower."),
        "what is trained of the spoken language model": count("spoken_lm."),
        "phone decoder": count("speech_decoder."),
        "voice generator": sum(parameter.numel() for parameter in generator.parameters()),
    }
