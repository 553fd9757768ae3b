"""Stored weights under their published names: read strictly, tensor by tensor, and written."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from huggingface_hub import save_torch_state_dict
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers.utils.hub import convert_file_size_to_int

from taste_speech.configuration_sections import SpokenLMConfig
from taste_speech.configuration_taste import TasteConfig
from taste_speech.conversion.names import (
    EMBED_TOKENS,
    LM_HEAD,
    NOT_NEEDED,
    Source,
    encoder_name,
    language_model_name,
    published_state,
    source_of,
)
from taste_speech.cpu import one_thread_if_small
from taste_speech.errors import CheckpointError
from taste_speech.pretrained.packaged import Progress
from taste_speech.pretrained.smollm2 import smollm2_folder
from taste_speech.pretrained.whisper import tiny_en_folder

WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
_LISTED = 5
COMPUTE_DTYPE_PARTS = ("spoken_lm.language_model", "audio_tower.encoder", "audio_tower.aggregator")
"""Parts whose data type may be chosen; all others stay float32, as in the published model."""
_CAST = tuple(f"{part}." for part in COMPUTE_DTYPE_PARTS)


@dataclass(frozen=True)
class StoredTensor:
    """A stored tensor whose shape is known before it is read.

    Attributes:
        read: function that returns a copy of the tensor on the CPU.
    """

    shape: tuple[int, ...]
    read: Callable[[], Tensor]


TensorStore = Mapping[str, StoredTensor]


def tensors_in_memory(state: Mapping[str, Tensor]) -> TensorStore:
    """Return the tensors of a state dict."""

    def copy(tensor: Tensor) -> Tensor:
        return tensor.detach().cpu().clone()

    return {name: StoredTensor(tuple(tensor.shape), partial(copy, tensor)) for name, tensor in state.items()}


def tensors_in_files(*paths: Path) -> TensorStore:
    """Return the tensors of safetensors files.

    Each file is opened again for each tensor. An open file stays mapped, and would count towards the memory
    of the process in addition to the copies until the last tensor is read.

    Raises:
        CheckpointError: a file is missing or damaged, or two files have a tensor of the same name.
    """
    store: dict[str, StoredTensor] = {}
    path_of: dict[str, Path] = {}
    for path in paths:
        with _opened(path) as file:
            for name in file.keys():  # noqa: SIM118 - not a dictionary
                if (other := path_of.setdefault(name, path)) != path:
                    raise CheckpointError(
                        f"{path}: tensor {name} is also in {other.name}; keep one of the two files"
                    )
                shape = tuple(file.get_slice(name).get_shape())
                store[name] = StoredTensor(shape, partial(_read, path, name))
    return store


def joined(*stores: TensorStore) -> TensorStore:
    """Return the tensors of several stores.

    Raises:
        CheckpointError: two stores have a tensor of the same name.
    """
    every: dict[str, StoredTensor] = {}
    for store in stores:
        if twice := sorted(every.keys() & store.keys()):
            raise CheckpointError(f"tensor {twice[0]} is stored twice; fetch the checkpoint again")
        every |= store
    return every


def with_pretrained(store: TensorStore, config: TasteConfig, progress: Progress | None = None) -> TensorStore:
    """Add the weights of the pretrained models that a checkpoint builds on to its own weights.

    Args:
        progress: called during the first conversion of a pretrained model.

    Raises:
        CheckpointError: a package with a pretrained model is missing.
    """
    stores, lora = [store], config.spoken_lm_config
    if config.pretrained.language_model is not None:
        given = tensors_in_files(smollm2_folder(progress) / WEIGHTS)
        stores.append({language_model_name(name, lora): tensor for name, tensor in given.items()})
    if config.pretrained.encoder is not None:
        given = tensors_in_files(tiny_en_folder(progress) / WEIGHTS)
        renamed = ((encoder_name(name), tensor) for name, tensor in given.items())
        stores.append({name: tensor for name, tensor in renamed if name is not None})
    return joined(*stores)


def _read(path: Path, name: str) -> Tensor:
    with _opened(path) as file:
        return file.get_tensor(name).clone()  # because a mapped tensor changes when its file does


@contextmanager
def _opened(path: Path) -> Iterator[safe_open]:
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; the checkpoint is incomplete; fetch that file again")
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise CheckpointError(f"{path} is truncated or damaged ({error}); fetch the file again") from error


def open_weights(folder: Path) -> TensorStore:
    """Return the tensors of a checkpoint folder: `model.safetensors`, or the shards that the index lists.

    Raises:
        CheckpointError: files are missing, truncated or unreadable.
    """
    index = folder / WEIGHTS_INDEX
    if index.is_file():
        try:
            shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        except (ValueError, KeyError, AttributeError):
            raise CheckpointError(f"{index} is damaged (no weight_map); fetch the file again") from None
        return tensors_in_files(*(folder / shard for shard in shards))
    if not (folder / WEIGHTS).is_file():
        raise CheckpointError(f"{folder} has neither {WEIGHTS} nor {WEIGHTS_INDEX}; fetch one of them")
    return tensors_in_files(folder / WEIGHTS)


def fill(
    model: nn.Module, store: TensorStore, config: SpokenLMConfig, dtype: torch.dtype, origin: str
) -> None:
    """Fill `model` (built on the meta device) from `store`.

    Args:
        config: section `spoken_lm_config` of the checkpoint.
        dtype: data type of `COMPUTE_DTYPE_PARTS`.
        origin: source of the weights, for error messages.

    Raises:
        CheckpointError: tensors are missing, left over, or of the wrong shape.
    """
    sources = plan(model, config)
    tied = sources[LM_HEAD].names[0] not in store
    if tied:
        del sources[LM_HEAD]
    _check(sources.values(), store, origin)
    with one_thread_if_small(sum(math.prod(tensor.shape) for tensor in store.values())):
        for name, source in sources.items():
            target = dtype if name.startswith(_CAST) else torch.float32
            merged = source.merge([store[part].read() for part in source.names])
            _assign(model, name, merged.to(target))
        _tie(model, tied)


def plan(model: nn.Module, config: SpokenLMConfig) -> dict[str, Source]:
    """Return the stored tensors from which each tensor of the model's state dict is made."""
    return {
        name: source_of(name, tuple(tensor.shape), config)
        for name, tensor in model.state_dict(keep_vars=True).items()
    }


def _check(sources: Iterable[Source], store: TensorStore, origin: str) -> None:
    expected = {
        name: shape for source in sources for name, shape in zip(source.names, source.shapes, strict=True)
    }
    problems = {
        "missing": sorted(name for name in expected if name not in store),
        "left over": sorted(
            name for name in store if name not in expected and not NOT_NEEDED.fullmatch(name)
        ),
        "of wrong shape": sorted(
            f"{name} (stored {list(store[name].shape)}, expected {list(shape)})"
            for name, shape in expected.items()
            if name in store and store[name].shape != tuple(shape)
        ),
    }
    found = "; ".join(f"{len(names)} {what}: {_list(names)}" for what, names in problems.items() if names)
    if found:
        raise CheckpointError(
            f"{origin}: the weights do not fit config.json: {found}. "
            "Fetch the checkpoint again, or correct its config"
        )


def _list(names: list[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")


def _assign(model: nn.Module, name: str, tensor: Tensor) -> None:
    path, _, leaf = name.rpartition(".")
    module = model.get_submodule(path)
    if (empty := module._parameters.get(leaf)) is not None:
        module._parameters[leaf] = nn.Parameter(tensor, requires_grad=empty.requires_grad)
    else:
        module._buffers[leaf] = tensor


def _tie(model: nn.Module, absent: bool) -> None:
    """Make the head share the embedding if it is absent or stored as an equal copy."""
    embed, head = model.get_parameter(EMBED_TOKENS), model.get_parameter(LM_HEAD)
    if absent or torch.equal(embed, head):
        model.get_submodule(LM_HEAD.removesuffix(".weight"))._parameters["weight"] = embed


def save_weights(
    state: Mapping[str, Tensor], folder: Path, dtype: torch.dtype | None, max_shard_size: int | str
) -> None:
    """Write a model's state dict under published names, as `model.safetensors` or as shards and their index.

    A head that shares the embedding is left out.
    """
    state = {name: tensor.detach() for name, tensor in state.items()}
    if state[LM_HEAD].data_ptr() == state[EMBED_TOKENS].data_ptr():
        del state[LM_HEAD]
    write_state(published_state(state), folder, dtype, max_shard_size)


def write_state(
    state: Mapping[str, Tensor], folder: Path, dtype: torch.dtype | None, max_shard_size: int | str
) -> None:
    """Write tensors under their own names, as `model.safetensors` or as shards and their index.

    Args:
        max_shard_size: number of bytes, or a whole number with a unit ("100KB", "5GB").

    Raises:
        ValueError: `max_shard_size` has another form.
    """
    stored = {name: _stored(tensor, dtype) for name, tensor in state.items()}
    size = convert_file_size_to_int(max_shard_size)
    save_torch_state_dict(stored, folder, filename_pattern="model{suffix}.safetensors", max_shard_size=size)


def _stored(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    if dtype is not None and tensor.is_floating_point():
        tensor = tensor.to(dtype)
    tensor = tensor.cpu().contiguous()
    # Shards are measured by what a tensor shares with others.
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()
