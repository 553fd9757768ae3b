"""The name mapping covers the published V0 checkpoint, on the meta device."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from taste_speech import TasteConfig, TasteForCausalLM
from taste_speech.conversion.names import NOT_NEEDED, published_state, resolve_tower
from taste_speech.conversion.weights import plan
from taste_speech.vocoder.voice_generator import VoiceGenerator

MANIFEST = Path(__file__).parents[2] / "golden" / "manifest_v0.json"


@pytest.fixture(scope="module")
def manifest() -> dict[str, dict[str, tuple[int, ...]]]:
    parts = json.loads(MANIFEST.read_text())
    return {part: {name: tuple(shape) for name, (shape, _) in names.items()} for part, names in parts.items()}


@pytest.fixture(scope="module")
def v0() -> Any:
    with torch.device("meta"):
        return TasteForCausalLM(TasteConfig())


def test_v0_model_needs_exactly_the_published_tensors(v0: Any, manifest: Any) -> None:
    sources = plan(v0, TasteConfig().spoken_lm_config)
    needed = {
        name: shape
        for source in sources.values()
        for name, shape in zip(source.names, source.shapes, strict=True)
    }
    published = {name: shape for name, shape in manifest["model"].items() if not NOT_NEEDED.fullmatch(name)}
    assert needed == published


def test_what_inference_does_not_need_is_a_short_list(manifest: Any) -> None:
    ignored = [name for name in manifest["model"] if NOT_NEEDED.fullmatch(name)]
    assert len(ignored) == 66
    assert all(".mlps." in name or "_codebook" in name for name in ignored)


def test_v0_voice_generator_has_exactly_the_published_tensors(manifest: Any) -> None:
    with torch.device("meta"):
        generator = VoiceGenerator(TasteConfig().voice_generator)
    shapes = {name: tuple(tensor.shape) for name, tensor in generator.state_dict().items()}
    assert shapes == manifest["voice_generator"]


def test_written_names_are_published_names_without_lora(v0: Any, manifest: Any) -> None:
    written = {name: tuple(tensor.shape) for name, tensor in published_state(v0.state_dict()).items()}
    plain = {
        name.replace("base_model.model.", "").replace("base_layer.", ""): shape
        for name, shape in manifest["model"].items()
        if "lora" not in name
    }
    assert written.items() <= plain.items()
    missing = plain.keys() - written.keys()
    assert all(NOT_NEEDED.fullmatch(name) for name in missing)
    assert not any(name.endswith("initted") for name in missing)


def test_tower_sizes_come_from_asr_config_only_where_they_fit(manifest: Any) -> None:
    # The published asr_config describes whisper-large-v3, which has 32 decoder layers; the tower has 2.
    sizes = {"d_model": 1280, "encoder_layers": 32, "decoder_layers": 32, "encoder_ffn_dim": 5120}
    assert resolve_tower(TasteConfig(asr_config=sizes), manifest["model"]).decoder_layers == 2
    small = {name: shape for name, shape in manifest["model"].items() if "encoder.layers.3" not in name}
    fitting = TasteConfig(
        asr_config={
            "d_model": 1280,
            "encoder_layers": 30,
            "decoder_layers": 2,
            "encoder_ffn_dim": 5120,
            "decoder_ffn_dim": 5120,
            "encoder_attention_heads": 10,
            "num_mel_bins": 128,
            "vocab_size": 51866,
        }
    )
    assert resolve_tower(fitting, small).encoder_attention_heads == 10
    assert resolve_tower(TasteConfig(tower={"d_model": 8}), manifest["model"]).d_model == 8
