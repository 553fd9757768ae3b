"""Reading CTranslate2's file format, version 6: named tensors, then further names for some of them."""

import struct
from pathlib import Path

import torch
from torch import Tensor

from taste_speech.errors import CheckpointError

VERSION = 6
_DTYPES = (torch.float32, torch.int8, torch.int16, torch.int32, torch.float16, torch.bfloat16)
"""By the number that stands for them in the file."""


class _Reader:
    """Little-endian numbers and strings from a buffer."""

    def __init__(self, buffer: bytearray) -> None:
        self.buffer = buffer
        self.at = 0

    def number(self, form: str) -> int:
        (value,) = struct.unpack_from(f"<{form}", self.buffer, self.at)
        self.at += struct.calcsize(f"<{form}")
        return int(value)

    def text(self) -> str:
        return self.take(self.number("H")).decode().rstrip("\0")

    def take(self, size: int) -> bytearray:
        self.at += size
        if self.at > len(self.buffer):
            raise struct.error
        return self.buffer[self.at - size : self.at]

    def tensor(self) -> Tensor:
        shape = [self.number("I") for _ in range(self.number("B"))]
        dtype = _DTYPES[self.number("B")]
        data = self.take(self.number("I"))
        return torch.frombuffer(data, dtype=dtype).reshape(shape)


def read_model_file(path: Path, specification: str) -> dict[str, Tensor]:
    """Tensors of a `model.bin` by their names and other names.

    Args:
        path: the file.
        specification: the kind of model that it must be of, such as `WhisperSpec`.

    Raises:
        CheckpointError: it is damaged, of another version, or of another kind of model.
    """
    file = _Reader(bytearray(path.read_bytes()))
    try:
        version = file.number("I")
        if version != VERSION:
            raise CheckpointError(
                f"{path} has version {version} of CTranslate2's format; {VERSION} can be read"
            )
        kind = file.text()
        if kind != specification:
            raise CheckpointError(f"{path} holds a {kind}, not a {specification}; give another file")
        file.number("I")  # the revision of that specification
        tensors = {file.text(): file.tensor() for _ in range(file.number("I"))}
        aliases = {file.text(): file.text() for _ in range(file.number("I"))}
    except (struct.error, IndexError, RuntimeError, UnicodeDecodeError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged or no file of CTranslate2; fetch it again") from error
    missing = [name for name in aliases.values() if name not in tensors]
    if missing:
        raise CheckpointError(f"{path} is damaged: there is no tensor {missing[0]}; fetch it again")
    return tensors | {alias: tensors[name] for alias, name in aliases.items()}
