"""Which weights a file was made with, so that it is renewed when they change."""

import hashlib

import torch
from torch import nn


def fingerprint(module: nn.Module) -> str:
    """Hexadecimal SHA-256 of the names, types, shapes and values of a module's weights."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
