"""Weights of pretrained models under the names that they have in a checkpoint."""

from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from taste_speech.configuration_taste import TasteConfig
from taste_speech.conversion.names import encoder_name, language_model_name
from taste_speech.conversion.tensor_store import SafetensorsStore, TensorStore
from taste_speech.errors import CheckpointError
from taste_speech.pretrained.converted import Progress
from taste_speech.pretrained.smollm2 import smollm2_folder
from taste_speech.pretrained.whisper import tiny_en_folder

WEIGHTS = "model.safetensors"


class RenamedStore:
    """Some tensors of another store under other names.

    Args:
        store: what they are read from.
        rename: from its names; None for what is left out.
    """

    def __init__(self, store: TensorStore, rename: Callable[[str], str | None]) -> None:
        self._store = store
        self._names = {new: name for name in store.shapes if (new := rename(name)) is not None}
        self.shapes = {new: store.shapes[name] for new, name in self._names.items()}

    def read(self, name: str) -> Tensor:
        """Read one tensor."""
        return self._store.read(self._names[name])


class JoinedStore:
    """The tensors of several stores.

    Raises:
        CheckpointError: two of them have a tensor of one name.
    """

    def __init__(self, *stores: TensorStore) -> None:
        self._store_of: dict[str, TensorStore] = {}
        for store in stores:
            for name in store.shapes:
                if name in self._store_of:
                    raise CheckpointError(f"tensor {name} is in two places; the checkpoint is not whole")
                self._store_of[name] = store
        self.shapes: Mapping[str, tuple[int, ...]] = {
            name: store.shapes[name] for name, store in self._store_of.items()
        }

    def read(self, name: str) -> Tensor:
        """Read one tensor."""
        return self._store_of[name].read(name)


def with_pretrained(store: TensorStore, config: TasteConfig, progress: Progress | None = None) -> TensorStore:
    """Add the weights of the models that a checkpoint builds on to its own.

    Args:
        store: the checkpoint's own weights.
        config: its configuration.
        progress: told how far a first conversion is.

    Raises:
        CheckpointError: a package that holds such a model is missing.
    """
    stores = [store]
    if config.pretrained.language_model is not None:
        lora = config.spoken_lm_config
        given = _weights_of(smollm2_folder(progress))
        stores.append(RenamedStore(given, lambda name: language_model_name(name, lora)))
    if config.pretrained.encoder is not None:
        stores.append(RenamedStore(_weights_of(tiny_en_folder(progress)), encoder_name))
    return JoinedStore(*stores)


def _weights_of(folder: Path) -> SafetensorsStore:
    return SafetensorsStore([folder / WEIGHTS])
