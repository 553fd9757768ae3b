"""Reading stored tensors one at a time: from safetensors files, or from a dictionary in memory."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from taste_speech.errors import CheckpointError

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


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
    """Tensors of one or more safetensors files, read without mapping the files into memory.

    A mapped file would count towards the process's memory beside the copies made from it, and would leave
    weights that change when the file does.
    """

    def __init__(self, paths: list[Path]) -> None:
        self._entries: dict[str, tuple[Path, int, dict[str, Any]]] = {}
        for path in paths:
            offset, header = read_header(path)
            for name, entry in header.items():
                if name in self._entries:
                    other = self._entries[name][0].name
                    raise CheckpointError(
                        f"{path}: tensor {name} is also in {other}; keep one of the two files"
                    )
                self._entries[name] = (path, offset, entry)
        self.shapes = {name: tuple(entry["shape"]) for name, (_, _, entry) in self._entries.items()}

    def read(self, name: str) -> Tensor:
        """Read one tensor from its file."""
        path, offset, entry = self._entries[name]
        begin, end = entry["data_offsets"]
        raw = torch.empty(end - begin, dtype=torch.uint8)
        with path.open("rb", buffering=0) as file:
            file.seek(offset + begin)
            view, done = memoryview(cast(Any, raw.numpy())), 0
            while done < len(view) and (count := file.readinto(view[done:])):
                done += count
        if done < len(view):
            raise CheckpointError(f"{path}: file ended while tensor {name} was read; fetch the file again")
        return raw.view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])


def read_header(path: Path) -> tuple[int, dict[str, Any]]:
    """Offset of the data and entries by name of a safetensors file, checked against the file's size.

    Raises:
        CheckpointError: the file is missing, truncated, or not a safetensors file.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; the checkpoint is incomplete, fetch that file again")
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            raise CheckpointError(f"{path} is truncated or not a safetensors file; fetch the file again")
        try:
            header = json.loads(file.read(length))
        except ValueError:
            raise CheckpointError(f"{path} is not a safetensors file; fetch the file again") from None
    header.pop("__metadata__", None)
    for name, entry in header.items():
        if entry["dtype"] not in _DTYPES:
            raise CheckpointError(f"{path}: tensor {name} has dtype {entry['dtype']}, which cannot be read")
        begin, end = entry["data_offsets"]
        if math.prod(entry["shape"]) * _DTYPES[entry["dtype"]].itemsize != end - begin:
            raise CheckpointError(f"{path}: tensor {name} has a damaged entry; fetch the file again")
    expected = 8 + length + max((entry["data_offsets"][1] for entry in header.values()), default=0)
    if size < expected:
        raise CheckpointError(f"{path} is truncated: {size} bytes of {expected}; fetch the file again")
    return 8 + length, header
