"""Mel frames made by the flow, for a vocoder that is to speak from them (Kong et al. 2020, section 4.4)."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from taste_speech.training.config import StageContext
from taste_speech.training.voice_features import VoiceFeatures
from taste_speech.training.voices import fixed_embedding
from taste_speech.vocoder.flow import Flow

logger = logging.getLogger(__name__)
FRAMES_NAME, INDEX_NAME = "mel.f16", "index.json"


class FlowFrames:
    """Frames made from the true units of an utterance: they lie in time where its sound lies.

    Args:
        folder: with `mel.f16` and `index.json`, as `write_flow_frames` leaves it.
        bins: mel bins.
    """

    def __init__(self, folder: Path, bins: int) -> None:
        self._offsets: dict[str, list[int]] = json.loads((folder / INDEX_NAME).read_text())
        self._frames = np.memmap(folder / FRAMES_NAME, np.float16, "r").reshape(-1, bins)

    def __contains__(self, key: str) -> bool:
        return key in self._offsets

    def __getitem__(self, key: str) -> np.ndarray:
        """(frames, bins) float16."""
        offset, frames = self._offsets[key]
        return self._frames[offset : offset + frames]


@torch.no_grad()
def write_flow_frames(
    folder: Path,
    context: StageContext,
    features: Sequence[VoiceFeatures],
    voice: str,
    clips: int,
    seed: int = 0,
) -> FlowFrames:
    """Frames of `clips` training and validation utterances, made anew when the flow is newer than they are.

    Args:
        voice: name of the fixed speaker embedding.
        clips: how many utterances, drawn with `seed`.

    Raises:
        FileNotFoundError: the stages `units` and `flow` have not finished.
    """
    config, trained = context.config.voice_generator, context.folder("flow") / "flow.safetensors"
    index_path = folder / INDEX_NAME
    if index_path.exists() and index_path.stat().st_mtime > trained.stat().st_mtime:
        return FlowFrames(folder, config.mel_bins)
    folder.mkdir(parents=True, exist_ok=True)
    flow = Flow(config).eval()
    flow.load_state_dict(load_file(trained))
    units = load_file(context.folder("units") / "units.safetensors")
    speaker = fixed_embedding(voice, config.speaker_embed_dim)
    generator = torch.Generator().manual_seed(seed)
    keys = [key for part in features for key in part.keys("train", "valid") if key in units]
    offsets, position = {}, 0
    with (folder / FRAMES_NAME).open("wb") as file:
        for index in torch.randperm(len(keys), generator=generator)[:clips].tolist():
            ids = units[keys[index]].long()[None]
            mel = flow.inference(ids, speaker, generator=generator)[0].T
            file.write(mel.numpy().astype(np.float16).tobytes())
            offsets[keys[index]] = (position, len(mel))
            position += len(mel)
    index_path.write_text(json.dumps(offsets))
    logger.info("frames of %d utterances made by the flow", len(offsets))
    return FlowFrames(folder, config.mel_bins)
