"""Stored tensors, read one at a time: from safetensors files, or from a dictionary in memory."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from taste_speech.configuration_taste import TasteConfig
from taste_speech.conversion.names import encoder_name, language_model_name
from taste_speech.errors import CheckpointError
from taste_speech.pretrained.packaged import Progress
from taste_speech.pretrained.smollm2 import smollm2_folder
from taste_speech.pretrained.whisper import tiny_en_folder

WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class StoredTensor:
    """A tensor whose shape is known before it is read.

    Attributes:
        shape: its shape.
        read: returns it with memory of its own, on the CPU.
    """

    shape: tuple[int, ...]
    read: Callable[[], Tensor]


TensorStore = Mapping[str, StoredTensor]


def tensors_in_memory(state: Mapping[str, Tensor]) -> TensorStore:
    """Return the tensors of a state dict."""
    return {name: StoredTensor(tuple(tensor.shape), partial(_copy, tensor)) for name, tensor in state.items()}


def tensors_in_files(*paths: Path) -> TensorStore:
    """Return the tensors of safetensors files.

    Each file is opened anew for each tensor: kept open, it stays mapped and counts towards the process's
    memory beside the copies made from it, until the last tensor is read.

    Raises:
        CheckpointError: a file is missing or damaged, or two have a tensor of one name.
    """
    store: dict[str, StoredTensor] = {}
    path_of: dict[str, Path] = {}
    for path in paths:
        with _opened(path) as file:
            for name in file.keys():  # noqa: SIM118 - no dictionary
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
        CheckpointError: two of them have a tensor of one name.
    """
    every: dict[str, StoredTensor] = {}
    for store in stores:
        if twice := sorted(every.keys() & store.keys()):
            raise CheckpointError(f"tensor {twice[0]} is in two places; the checkpoint is not whole")
        every |= store
    return every


def with_pretrained(store: TensorStore, config: TasteConfig, progress: Progress | None = None) -> TensorStore:
    """Add the weights of the models that a checkpoint builds on to its own.

    Args:
        store: the checkpoint's own weights.
        config: its configuration.
        progress: told how far a first conversion is.

    Raises:
        CheckpointError: a package that holds such a model is missing.
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


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().clone()


def _read(path: Path, name: str) -> Tensor:
    with _opened(path) as file:
        # A copy: a mapped tensor changes when the file does.
        return file.get_tensor(name).clone()


@contextmanager
def _opened(path: Path) -> Iterator[safe_open]:
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; the checkpoint is incomplete, fetch that file again")
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise CheckpointError(f"{path} is truncated or damaged ({error}); fetch the file again") from error
