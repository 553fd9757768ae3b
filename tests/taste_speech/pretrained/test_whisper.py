import json
import struct
from pathlib import Path

import pytest
import soundfile
import torch
from safetensors.torch import load_file
from transformers import (
    PreTrainedTokenizerFast,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

import taste_agent
from taste_speech.errors import CheckpointError
from taste_speech.pretrained.whisper import TINY_EN_FILES, WEIGHTS, convert, tiny_en_folder
from tests.taste_speech.pretrained.packages import needs_package

QUESTION = Path(taste_agent.__file__).parent / "demo" / "question.wav"
NUMBERS = {torch.float32: 0, torch.int8: 1, torch.int16: 2, torch.float16: 4}


def text(string):
    raw = string.encode() + b"\0"
    return struct.pack("<H", len(raw)) + raw


def model_file(tensors, aliases=(), version=6, kind="WhisperSpec"):
    """Bytes of CTranslate2's format."""
    parts = [struct.pack("<I", version), text(kind), struct.pack("<II", 3, len(tensors))]
    for name, tensor in tensors.items():
        raw = tensor.contiguous().numpy().tobytes()
        parts += [text(name), struct.pack(f"<B{tensor.ndim}I", tensor.ndim, *tensor.shape)]
        parts += [struct.pack("<BI", NUMBERS[tensor.dtype], len(raw)), raw]
    parts.append(struct.pack("<I", len(aliases)))
    return b"".join([*parts, *(text(name) for pair in aliases for name in pair)])


def fused(model, layer, attention, names):
    """Weight and bias of projections that are stored as one; the one of the keys has no bias of its own."""
    linears = [model.get_submodule(f"{layer}.{attention}.{name}_proj") for name in names]
    biases = [torch.zeros(len(x.weight)) if x.bias is None else x.bias for x in linears]
    return {"weight": torch.cat([x.weight for x in linears]), "bias": torch.cat(biases)}


def as_stored(model):
    """A transformers model as CTranslate2 names its parts."""
    stored = {"decoder/pre_norm": torch.tensor(1, dtype=torch.int8)}
    for side, blocks in (
        ("encoder", {"self_attention": ("self_attn", "qkv", "out")}),
        (
            "decoder",
            {"self_attention": ("self_attn", "qkv", "out"), "attention": ("encoder_attn", "q", "kv", "out")},
        ),
    ):
        half = model.get_submodule(f"model.{side}")
        stored[f"{side}/num_heads"] = torch.tensor(2, dtype=torch.int16)
        stored[f"{side}/position_encodings/encodings"] = half.embed_positions.weight
        stored[f"{side}/layer_norm/gamma"], stored[f"{side}/layer_norm/beta"] = half.layer_norm.parameters()
        for number, layer in enumerate(half.layers):
            start = f"{side}/layer_{number}"
            norms = {"ffn": layer.final_layer_norm}
            for name, (ours, *parts) in blocks.items():
                norms[name] = layer.get_submodule(f"{ours}_layer_norm")
                for index, part in enumerate(parts):
                    names = [part] if part == "out" else list(part)
                    for kind, tensor in fused(model, f"model.{side}.layers.{number}", ours, names).items():
                        stored[f"{start}/{name}/linear_{index}/{kind}"] = tensor
            for name, norm in norms.items():
                stored[f"{start}/{name}/layer_norm/gamma"] = norm.weight
                stored[f"{start}/{name}/layer_norm/beta"] = norm.bias
            for index, linear in enumerate((layer.fc1, layer.fc2)):
                stored[f"{start}/ffn/linear_{index}/weight"] = linear.weight
                stored[f"{start}/ffn/linear_{index}/bias"] = linear.bias
    for conv in ("conv1", "conv2"):
        for kind in ("weight", "bias"):
            stored[f"encoder/{conv}/{kind}"] = getattr(model.model.encoder.get_submodule(conv), kind)
    stored["decoder/embeddings/weight"] = model.model.decoder.embed_tokens.weight
    return {name: tensor.detach() for name, tensor in stored.items()}


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=24,
        num_mel_bins=8,
        d_model=16,
        encoder_layers=2,
        decoder_layers=3,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=40,
        max_source_positions=50,
        max_target_positions=12,
        pad_token_id=20,
        bos_token_id=20,
        eos_token_id=20,
        decoder_start_token_id=21,
    )
    model = WhisperForConditionalGeneration(config).eval()
    for parameter in model.parameters():  # biases and norms too
        torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.fixture
def written(tmp_path):
    """Converts the bytes of a `model.bin`; gives the folder."""

    def write(content):
        (tmp_path / "model.bin").write_bytes(content)
        settings = {"suppress_ids": [3], "suppress_ids_begin": [1, 20], "alignment_heads": [[0, 1]]}
        (tmp_path / "settings.json").write_text(json.dumps(settings))
        special = {"<|endoftext|>": 20, "<|startoftranscript|>": 21, "<|notimestamps|>": 22}
        added = [{"content": name, "id": number} for name, number in special.items()]
        (tmp_path / "words.json").write_text(json.dumps({"added_tokens": added}))
        folder = tmp_path / "converted"
        folder.mkdir(exist_ok=True)
        paths = [tmp_path / name for name in ("model.bin", "settings.json", "words.json")]
        convert(paths, folder, lambda share: None)
        return folder

    return write


def test_the_format_becomes_a_model_of_transformers(tiny, written):
    stored = as_stored(tiny)
    folder = written(model_file(stored, [("decoder/projection/weight", "decoder/embeddings/weight")]))
    read = WhisperForConditionalGeneration.from_pretrained(folder).eval()
    features, ids = torch.randn(1, 8, 100), torch.tensor([[21, 22, 4, 5]])
    with torch.no_grad():
        expected = tiny(features, decoder_input_ids=ids).logits
        torch.testing.assert_close(read(features, decoder_input_ids=ids).logits, expected)
    assert read.generation_config.suppress_tokens == [3]
    assert read.generation_config.begin_suppress_tokens == [1, 20]
    assert read.generation_config.alignment_heads == [[0, 1]]
    assert read.config.eos_token_id == 20


def test_half_precision_stays_half_precision(tiny, written):
    stored = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in as_stored(tiny).items()
    }
    state = load_file(written(model_file(stored)) / WEIGHTS)
    assert {tensor.dtype for tensor in state.values()} == {torch.float16}


def test_what_cannot_be_read_is_named(tiny, written):
    stored = as_stored(tiny)
    with pytest.raises(CheckpointError, match="has version 7 of CTranslate2's format; 6 can be read"):
        written(model_file(stored, version=7))
    with pytest.raises(CheckpointError, match="holds a TransformerSpec, not a WhisperSpec"):
        written(model_file(stored, kind="TransformerSpec"))
    with pytest.raises(CheckpointError, match="a Whisper model has no decoder/adapter/weight"):
        written(model_file(stored | {"decoder/adapter/weight": torch.zeros(2, 2)}))
    for damaged in (model_file(stored)[:-600], b"", model_file(stored, [("one", "another")])):
        with pytest.raises(CheckpointError, match="damaged"):
            written(damaged)


@needs_package(TINY_EN_FILES[0])
def test_the_package_s_model_hears_the_question():
    folder = tiny_en_folder()
    model = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    samples, rate = soundfile.read(QUESTION, dtype="float32")
    features = WhisperFeatureExtractor()(samples, sampling_rate=rate, return_tensors="pt").input_features
    words = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    assert words.decode(model.generate(features)[0]).strip() == "What is the capital of Italy?"
