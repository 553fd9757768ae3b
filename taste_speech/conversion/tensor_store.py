"""Reading stored tensors one at a time: from safetensors files, or from a dictionary in memory."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from safetensors import SafetensorError, safe_open
from torch import Tensor

from taste_speech.errors import CheckpointError


class TensorStore(Protocol):
    """Named tensors whose shapes are known without reading them."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of each tensor."""

    def read(self, name: str) -> Tensor:
        """A tensor of its own memory, on the CPU."""


class DictStore:
    """Tensors of a state dict."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self._state = state
        self.shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}

    def read(self, name: str) -> Tensor:
        """A copy of the tensor."""
        return self._state[name].detach().cpu().clone()


class SafetensorsStore:
    """Tensors of one or more safetensors files.

    Each file is opened anew for each tensor: kept open, it stays mapped and counts towards the process's
    memory beside the copies made from it, until the last tensor is read.

    Raises:
        CheckpointError: a file is missing or damaged, or two have a tensor of one name.
    """

    def __init__(self, paths: list[Path]) -> None:
        self._path_of: dict[str, Path] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        for path in paths:
            with _opened(path) as file:
                for name in file.keys():  # noqa: SIM118 - no dictionary
                    if (other := self._path_of.setdefault(name, path)) != path:
                        raise CheckpointError(
                            f"{path}: tensor {name} is also in {other.name}; keep one of the two files"
                        )
                    self.shapes[name] = tuple(file.get_slice(name).get_shape())

    def read(self, name: str) -> Tensor:
        """Read one tensor from its file."""
        with _opened(self._path_of[name]) as file:
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
