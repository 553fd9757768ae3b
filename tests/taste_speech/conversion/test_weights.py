"""Checkpoint folders of the published layout: strict loading, one clear error for each defect."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from taste_speech import CheckpointError, TasteConfig, TasteForCausalLM, TasteProcessor
from taste_speech.conversion import weights
from taste_speech.conversion.names import language_model_name, published_state
from taste_speech.conversion.weights import joined, tensors_in_memory, with_pretrained
from tests.tiny import tiny_config, tiny_tokenizers
from tests.tiny import tiny_model as random_model

RANK, ALPHA = 4, 8
LM = "spoken_lm.language_model.base_model.model."
Q_PROJ = f"{LM}model.layers.0.self_attn.q_proj"


@pytest.fixture(scope="module")
def tokenizers() -> Any:
    return tiny_tokenizers()


@pytest.fixture(scope="module")
def lora_config(tokenizers: Any) -> Any:
    lora = {"use_lora": True, "kwargs_for_lora": {"lora_r": RANK, "lora_alpha": ALPHA}}
    return tiny_config(*tokenizers, spoken_lm_config=lora, text_config={"tie_word_embeddings": True})


@pytest.fixture(scope="module")
def lora_state(lora_config: Any, tokenizers: Any) -> dict[str, Tensor]:
    """A published state dict: LoRA factors beside the base weights, entries nobody needs, no head."""
    generator = torch.Generator().manual_seed(5)
    state: dict[str, Tensor] = {}
    for name, tensor in published_state(random_model(lora_config, tokenizers[1]).state_dict()).items():
        name = name.replace("spoken_lm.language_model.", LM)
        if name.startswith(LM) and name.endswith("_proj.weight"):
            stem = name.removesuffix(".weight")
            state[f"{stem}.base_layer.weight"] = tensor
            rows, columns = tensor.shape
            state[f"{stem}.lora_A.default.weight"] = torch.randn(RANK, columns, generator=generator)
            state[f"{stem}.lora_B.default.weight"] = torch.randn(rows, RANK, generator=generator)
        elif not name.endswith("lm_head.weight"):
            state[name] = tensor
    state["audio_tower.vq.rvq.mlps.0.proj_in.weight"] = torch.zeros(2, 2)
    state["audio_tower.vq.rvq.layers.0._codebook.embed_avg"] = torch.zeros(1, 2, 2)
    return {name: tensor.detach().clone() for name, tensor in state.items()}


def write(folder: Path, config: Any, state: dict[str, Tensor], shards: int = 2) -> Path:
    """Write a checkpoint folder in the published layout."""
    config.save_pretrained(folder)
    names = list(state)
    weight_map = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        part = names[shard::shards]
        save_file({name: state[name] for name in part}, folder / file)
        weight_map |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


def test_sharded_lora_checkpoint_loads(
    tmp_path: Path, lora_config: Any, lora_state: dict[str, Tensor]
) -> None:
    model = TasteForCausalLM.from_pretrained(write(tmp_path, lora_config, lora_state))
    merged = lora_state[f"{Q_PROJ}.base_layer.weight"] + ALPHA / RANK * (
        lora_state[f"{Q_PROJ}.lora_B.default.weight"] @ lora_state[f"{Q_PROJ}.lora_A.default.weight"]
    )
    language_model = model.spoken_lm.language_model
    torch.testing.assert_close(language_model.model.layers[0].self_attn.q_proj.weight, merged)
    assert language_model.lm_head.weight is language_model.model.embed_tokens.weight
    assert not any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))
    assert not model.training


def test_saved_model_reloads_equal(tmp_path: Path, lora_config: Any, lora_state: dict[str, Tensor]) -> None:
    model = TasteForCausalLM.from_state_dict(lora_config, lora_state)
    model.save_pretrained(tmp_path, max_shard_size="300KB")
    written = sorted(path.stat().st_size for path in tmp_path.glob("model-*.safetensors"))
    assert len(written) > 1
    model.save_pretrained(tmp_path, max_shard_size=300_000)
    assert sorted(path.stat().st_size for path in tmp_path.glob("model-*.safetensors")) == written
    with pytest.raises(ValueError, match="not in a valid format"):
        model.save_pretrained(tmp_path, max_shard_size="large")
    assert json.loads((tmp_path / "config.json").read_text())["spoken_lm_config"]["use_lora"] is False
    again = TasteForCausalLM.from_pretrained(tmp_path)
    expected, got = model.state_dict(), again.state_dict()
    assert expected.keys() == got.keys()
    assert all(torch.equal(tensor, got[name]) for name, tensor in expected.items())
    again.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.glob("model*")) == ["model.safetensors"]
    assert not any("lora" in name or "lm_head" in name for name in load_file(tmp_path / "model.safetensors"))


def test_stored_head_is_a_tensor_of_its_own(lora_config: Any, lora_state: dict[str, Tensor]) -> None:
    embedding = lora_state[f"{LM}model.embed_tokens.weight"]
    model = TasteForCausalLM.from_state_dict(lora_config, lora_state | {f"{LM}lm_head.weight": embedding + 1})
    torch.testing.assert_close(model.spoken_lm.language_model.lm_head.weight, embedding + 1)
    torch.testing.assert_close(model.spoken_lm.language_model.model.embed_tokens.weight, embedding)


def test_dtype_is_that_of_llama_and_whisper_only(lora_config: Any, lora_state: dict[str, Tensor]) -> None:
    model = TasteForCausalLM.from_state_dict(lora_config, lora_state, dtype=torch.bfloat16)
    assert model.spoken_lm.dtype == torch.bfloat16
    assert model.audio_tower.encoder.conv1.weight.dtype == torch.bfloat16
    assert model.spoken_lm.fusion.linear.weight.dtype == torch.float32
    assert model.audio_tower.quantizer.codebooks.dtype == torch.float32
    assert model.spoken_lm.language_model.model.rotary_emb.inv_freq.dtype == torch.float32


def drop(state: dict[str, Tensor]) -> None:
    del state["spoken_lm.pad_text_unit_embed"]


def add(state: dict[str, Tensor]) -> None:
    state["spoken_lm.mystery"] = torch.zeros(1)


def reshape(state: dict[str, Tensor]) -> None:
    state["spoken_lm.pad_text_unit_embed"] = torch.zeros(3)


def drop_many(state: dict[str, Tensor]) -> None:
    for name in [name for name in state if "lora_A" in name]:
        del state[name]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (drop, "1 missing: spoken_lm.pad_text_unit_embed. Fetch"),
        (add, "1 left over: spoken_lm.mystery. Fetch"),
        (
            reshape,
            r"1 of wrong shape: spoken_lm.pad_text_unit_embed \(stored \[3\], expected \[64\]\). Fetch",
        ),
        (drop_many, "14 missing: .* and 9 more. Fetch"),
    ],
)
def test_wrong_tensors_give_one_error(
    tmp_path: Path,
    lora_config: Any,
    lora_state: dict[str, Tensor],
    damage: Callable[[dict[str, Tensor]], None],
    message: str,
) -> None:
    state = dict(lora_state)
    damage(state)
    with pytest.raises(CheckpointError, match=message):
        TasteForCausalLM.from_pretrained(write(tmp_path, lora_config, state))


def test_damaged_files_are_named(tmp_path: Path, lora_config: Any, lora_state: dict[str, Tensor]) -> None:
    folder = write(tmp_path, lora_config, lora_state)
    shard = folder / "model-00002-of-00002.safetensors"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-10])
    with pytest.raises(CheckpointError, match=r"model-00002-of-00002.safetensors is truncated or damaged"):
        TasteForCausalLM.from_pretrained(folder)
    shard.write_bytes(whole[:100])
    with pytest.raises(CheckpointError, match=r"model-00002-of-00002.safetensors is truncated"):
        TasteForCausalLM.from_pretrained(folder)
    shard.write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"model-00002-of-00002.safetensors is truncated"):
        TasteForCausalLM.from_pretrained(folder)
    shard.unlink()
    with pytest.raises(CheckpointError, match=r"model-00002-of-00002.safetensors does not exist"):
        TasteForCausalLM.from_pretrained(folder)
    (folder / "model.safetensors.index.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"model.safetensors.index.json is damaged"):
        TasteForCausalLM.from_pretrained(folder)
    (folder / "model.safetensors.index.json").unlink()
    with pytest.raises(CheckpointError, match=r"neither model.safetensors nor model.safetensors.index.json"):
        TasteForCausalLM.from_pretrained(folder)
    for text, message in (
        ("{", "not a valid JSON file.$"),
        ('{"streaming": {"extra_word": 3}}', "unknown key 'extra_word' .*; did you mean 'extra_words'.$"),
        ('{"text_config": {"hidden_size": "large"}}', "'hidden_size' expected int, got str"),
    ):
        (folder / "config.json").write_text(text)
        for kind in (TasteForCausalLM, TasteProcessor):
            with pytest.raises(CheckpointError, match=f"is not a TASTE configuration: .*{message}"):
                kind.from_pretrained(folder)
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"has no file config.json"):
        TasteForCausalLM.from_pretrained(folder)


def test_weights_do_not_depend_on_the_file_after_loading(tmp_path: Path, tiny_model: Any) -> None:
    tiny_model.save_pretrained(tmp_path)
    model = TasteForCausalLM.from_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(bytes(weights.stat().st_size))
    expected = tiny_model.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("dtype", ["int8", "float99", torch.int64])
def test_wrong_dtype_is_refused(tiny_checkpoint: Path, dtype: Any) -> None:
    with pytest.raises(ValueError, match=r"dtype is .*; give float32, bfloat16, float16 or 'auto'"):
        TasteForCausalLM.from_pretrained(tiny_checkpoint, dtype=dtype)


def test_unknown_arguments_are_refused(tiny_checkpoint: Path) -> None:
    with pytest.raises(TypeError, match=r"got use_safetensors; it takes revision, .*, config, attn_imp"):
        TasteForCausalLM.from_pretrained(tiny_checkpoint, use_safetensors=True)
    with pytest.raises(TypeError, match=r"from_pretrained got asr_on, path_cosyvoice_dir; it takes revision"):
        TasteProcessor.from_pretrained(tiny_checkpoint, path_cosyvoice_dir="voices", asr_on=False)
    with pytest.raises(ValueError, match="device_map is 'balanced'; the model must be on one device"):
        TasteForCausalLM.from_pretrained(tiny_checkpoint, device_map="balanced")
    with pytest.raises(TypeError, match="max_shard_bytes"):
        TasteForCausalLM.from_pretrained(tiny_checkpoint).save_pretrained("unused", max_shard_bytes=1)


def whole_checkpoint() -> tuple[TasteConfig, dict[str, torch.Tensor]]:
    """A configuration, and a whole checkpoint of it under published names."""
    config = tiny_config(*tiny_tokenizers())
    model = random_model(config, tiny_tokenizers()[1])
    return config, published_state(model.state_dict())


LLM = "spoken_lm.language_model."
ENCODER = "audio_tower.audio_joint_encoder_segmenter.audio_encoder.encoder."


def split_state(state: dict[str, torch.Tensor]) -> tuple[dict, dict, dict]:
    """A checkpoint without LoRA -> its own tensors, those of a Llama, and those of a Whisper."""
    llama = {name.removeprefix(LLM): value for name, value in state.items() if name.startswith(LLM)}
    whisper = {
        f"model.encoder.{name.removeprefix(ENCODER)}": value
        for name, value in state.items()
        if name.startswith(ENCODER)
    }
    own = {name: value for name, value in state.items() if not name.startswith((LLM, ENCODER))}
    return own, llama, whisper


def test_a_checkpoint_that_builds_on_others_equals_the_whole_one(tmp_path: Path, monkeypatch) -> None:
    config, state = whole_checkpoint()
    own, llama, whisper = split_state(state)
    for name, tensors in (("llm", llama), ("whisper", whisper | {"model.decoder.x": torch.zeros(1)})):
        (tmp_path / name).mkdir()
        save_file({k: v.contiguous() for k, v in tensors.items()}, tmp_path / name / "model.safetensors")
    monkeypatch.setattr(weights, "smollm2_folder", lambda progress: tmp_path / "llm")
    monkeypatch.setattr(weights, "tiny_en_folder", lambda progress: tmp_path / "whisper")
    config.pretrained.language_model = "smollm2-135m-instruct"
    config.pretrained.encoder = "whisper-tiny.en"
    store = with_pretrained(tensors_in_memory(own), config)
    shapes = {name: tensor.shape for name, tensor in store.items()}
    assert shapes == {name: tuple(value.shape) for name, value in state.items()}
    for name, value in state.items():
        assert torch.equal(store[name].read(), value)


def test_a_base_weight_gets_the_name_beside_its_adapter() -> None:
    config, _ = whole_checkpoint()
    config.spoken_lm_config.use_lora = True
    names = language_model_name("model.layers.0.mlp.up_proj.weight", config.spoken_lm_config)
    assert names == f"{LLM}base_model.model.model.layers.0.mlp.up_proj.base_layer.weight"


def test_a_tensor_in_two_places_is_refused() -> None:
    store = tensors_in_memory({"a": torch.zeros(2)})
    with pytest.raises(CheckpointError, match="tensor a is stored twice"):
        joined(store, tensors_in_memory({"a": torch.ones(2)}))


def test_a_loaded_model_needs_nothing_outside() -> None:
    config, state = whole_checkpoint()
    config.pretrained.encoder = "whisper-tiny.en"
    model = TasteForCausalLM.from_state_dict(config, state)
    assert model.config.pretrained.encoder is None
