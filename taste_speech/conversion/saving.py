"""Writing a model's weights under their published names."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from taste_speech.conversion.loading import WEIGHTS, WEIGHTS_INDEX, shards
from taste_speech.conversion.names import EMBED_TOKENS, LM_HEAD, published_state


def save_weights(
    state: Mapping[str, Tensor], folder: Path, dtype: torch.dtype | None, max_shard_size: int | str
) -> None:
    """Write a model's state dict as `model.safetensors`, or as shards and their index.

    A head that shares the embedding is left out.
    """
    state = {name: tensor.detach() for name, tensor in state.items()}
    if state[LM_HEAD].data_ptr() == state[EMBED_TOKENS].data_ptr():
        del state[LM_HEAD]
    write_state(published_state(state), folder, dtype, max_shard_size)


def write_state(
    state: Mapping[str, Tensor], folder: Path, dtype: torch.dtype | None, max_shard_size: int | str
) -> None:
    """Write tensors under the names that they have as `model.safetensors`, or as shards and their index."""
    stored = {name: _stored(tensor, dtype) for name, tensor in state.items()}
    parts = list(shards(stored, max_shard_size))
    for stale in (*folder.glob("model-*.safetensors"), folder / WEIGHTS, folder / WEIGHTS_INDEX):
        stale.unlink(missing_ok=True)
    if len(parts) == 1:
        save_file(parts[0], folder / WEIGHTS, metadata={"format": "pt"})
        return
    weight_map: dict[str, str] = {}
    for number, part in enumerate(parts, start=1):
        file = f"model-{number:05d}-of-{len(parts):05d}.safetensors"
        save_file(part, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    total = sum(tensor.nbytes for tensor in stored.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / WEIGHTS_INDEX).write_text(json.dumps(index, indent=2) + "\n")


def _stored(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    if dtype is not None and tensor.is_floating_point():
        tensor = tensor.to(dtype)
    return tensor.cpu().contiguous()
