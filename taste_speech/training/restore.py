"""Weights of a finished checkpoint as the start of a new run, so that training need not begin at nothing.

Taste tokens stay those of the checkpoint, its tower and quantizer are taken as final, unless new ones are
asked for: then the tower's encoder is where stage `tower` begins, and stage 1 makes them anew with the
checkpoint's unit decoder. A checkpoint that does not say which sounds its speech units stand for gets new
ones; what stands for single units is then left out: the unit decoder and the flow's embedding.
"""

import shutil
from pathlib import Path

import torch
from safetensors.numpy import save_file as save_units
from safetensors.torch import save_file
from torch import Tensor

from taste_speech.checkpoint_files import ASR_FOLDER, LLM_FOLDER, UNITS
from taste_speech.modeling_taste import TasteForCausalLM
from taste_speech.recognition.acoustic import load_acoustic_model
from taste_speech.training.config import StageContext
from taste_speech.training.grouped_heads import pool_key_heads
from taste_speech.training.initial import INITIAL_NAME
from taste_speech.training.stages.units import Settings as UnitSettings
from taste_speech.training.stages.units import UnitQuantizer
from taste_speech.vocoder.voice_generator import read_state


def write_initial(checkpoint: Path, context: StageContext, new_taste: bool = False) -> list[Path]:
    """Write the parts of a checkpoint as the first weights of their stages; copy its tokenizers.

    Args:
        checkpoint: folder in the published layout.
        context: of the new run.
        new_taste: whether taste tokens are to be learned anew.

    Raises:
        CheckpointError: the checkpoint is incomplete or damaged.
    """
    model = TasteForCausalLM.from_pretrained(checkpoint)
    generator = read_state(checkpoint)
    units = checkpoint / UNITS
    keeps_units = units.exists()
    if keeps_units:
        quantizer = UnitQuantizer.read(units, UnitSettings())
        save_units(quantizer.tensors, context.folder("units") / units.name)
    parts = {
        "vocoder": _below(generator, "hift."),
        "flow": {
            name: tensor
            for name, tensor in _below(generator, "flow.").items()
            if keeps_units or name != "input_embedding.weight"
        },
        "spoken_lm": _prefixed(_spoken_lm(model, context), "lm."),
        "autoencoder": _prefixed(model.speech_decoder.state_dict(), "decoder.") if keeps_units else {},
    }
    if new_taste:
        parts["tower"] = _prefixed(model.audio_tower.encoder.state_dict(), "encoder.")
    else:
        parts["autoencoder"] |= {
            **_prefixed(model.audio_tower.state_dict(), "tower."),
            **{name: torch.tensor(True) for name in ("has_tower", "is_final")},
        }
    recognition, tower = model.config.recognition, model.config.tower
    if recognition.acoustic_model and tower is not None:
        weights = checkpoint / recognition.acoustic_model
        acoustic = load_acoustic_model(weights, recognition.acoustic, tower.num_mel_bins)
        parts["phones"] = acoustic.state_dict()
    paths = []
    for name in (ASR_FOLDER, LLM_FOLDER):
        paths.append(context.folder("tokenizers") / name)
        shutil.copytree(checkpoint / name, paths[-1], dirs_exist_ok=True)
    for stage, state in parts.items():
        path = context.folder(stage) / INITIAL_NAME
        tensors = {
            name: value.float() if value.is_floating_point() else value for name, value in state.items()
        }
        save_file({name: value.clone().contiguous() for name, value in tensors.items()}, path)
        paths.append(path)
    return paths


def _spoken_lm(model: TasteForCausalLM, context: StageContext) -> dict[str, Tensor]:
    """Weights of the LM, for as many key heads as the new run's configuration wants."""
    text = context.config.text_config
    return pool_key_heads(model.spoken_lm.state_dict(), text.head_dim, text.num_key_value_heads)


def _below(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _prefixed(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in state.items()}
