from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from taste_speech.configuration_taste import TasteConfig
from taste_speech.conversion import stores
from taste_speech.conversion.names import published_state
from taste_speech.conversion.stores import joined, tensors_in_memory, with_pretrained
from taste_speech.errors import CheckpointError
from taste_speech.modeling_taste import TasteForCausalLM
from tests import tiny


def tiny_checkpoint() -> tuple[TasteConfig, dict[str, torch.Tensor]]:
    """A configuration, and a whole checkpoint of it under published names."""
    config = tiny.tiny_config(*tiny.tiny_tokenizers())
    model = tiny.tiny_model(config, tiny.tiny_tokenizers()[1])
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
    config, state = tiny_checkpoint()
    own, llama, whisper = split_state(state)
    for name, tensors in (("llm", llama), ("whisper", whisper | {"model.decoder.x": torch.zeros(1)})):
        (tmp_path / name).mkdir()
        save_file({k: v.contiguous() for k, v in tensors.items()}, tmp_path / name / "model.safetensors")
    monkeypatch.setattr(stores, "smollm2_folder", lambda progress: tmp_path / "llm")
    monkeypatch.setattr(stores, "tiny_en_folder", lambda progress: tmp_path / "whisper")
    config.pretrained.language_model = "smollm2-135m-instruct"
    config.pretrained.encoder = "whisper-tiny.en"
    store = with_pretrained(tensors_in_memory(own), config)
    shapes = {name: tensor.shape for name, tensor in store.items()}
    assert shapes == {name: tuple(value.shape) for name, value in state.items()}
    for name, value in state.items():
        assert torch.equal(store[name].read(), value)


def test_a_base_weight_gets_the_name_beside_its_adapter() -> None:
    config, _ = tiny_checkpoint()
    config.spoken_lm_config.use_lora = True
    names = stores.language_model_name("model.layers.0.mlp.up_proj.weight", config.spoken_lm_config)
    assert names == f"{LLM}base_model.model.model.layers.0.mlp.up_proj.base_layer.weight"


def test_a_tensor_in_two_places_is_refused() -> None:
    store = tensors_in_memory({"a": torch.zeros(2)})
    with pytest.raises(CheckpointError, match="tensor a is in two places"):
        joined(store, tensors_in_memory({"a": torch.ones(2)}))


def test_a_loaded_model_needs_nothing_outside() -> None:
    config, state = tiny_checkpoint()
    config.pretrained.encoder = "whisper-tiny.en"
    model = TasteForCausalLM.from_state_dict(config, state)
    assert model.config.pretrained.encoder is None
