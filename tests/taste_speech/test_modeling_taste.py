"""What configurations a model is built from."""

import io
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from transformers import PreTrainedConfig

from taste_speech import CheckpointError, TasteConfig, TasteForCausalLM, TasteProcessor
from taste_speech.acceleration import accelerate
from taste_speech.conversion.hub import SHIPPED, shipped_names
from tests.conftest import GOLDEN
from tests.talk import QUESTION, stream, talk, words_of


def build(config: TasteConfig) -> TasteForCausalLM:
    with torch.device("meta"):
        return TasteForCausalLM(config)


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("spoken_lm_config", {"delay_level": "token"}, "spoken_lm_config.delay_level is 'token'; only 'wo"),
        ("spoken_lm_config", {"audio_embed_conv_mode": "pad"}, "audio_embed_conv_mode is 'pad'; only 'fill"),
        ("spoken_lm_config", {"in_llm_module": "concat"}, "in_llm_module is 'concat'; only 'weighted_sum'"),
        ("spoken_lm_config", {"out_llm_module": "none"}, "out_llm_module is 'none'; only 'continue_latent"),
        ("audio_tower_config", {"is_joint_encoder_segmenter": False}, "segmenter is False; only True is"),
        (
            "audio_tower_config",
            {"kwargs_for_joint_encoder_segmenter": {"forward_type": "asr"}},
            "audio_tower_config.kwargs_for_joint_encoder_segmenter.forward_type is 'asr'; only 'asr_attn_p",
        ),
    ],
)
def test_variants_that_are_not_implemented_are_refused(
    section: str, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build(TasteConfig(**{section: values}))


def test_taste_tokens_lag_by_a_word_at_least() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        TasteConfig(spoken_lm_config={"delay": 0})


@pytest.mark.parametrize("folder", [None, GOLDEN, *(SHIPPED / name for name in shipped_names())])
def test_published_and_shipped_configurations_are_built(folder: Path | None) -> None:
    build(TasteConfig() if folder is None else TasteConfig.from_pretrained(folder))


def test_a_stored_model_goes_on_as_it_was(tiny_checkpoint: Path, tiny_processor: Any) -> None:
    model = TasteForCausalLM.from_pretrained(tiny_checkpoint)
    accelerate(model)
    expected = words_of(stream(talk(model, tiny_processor, QUESTION), model, tiny_processor))
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for other in (pickle.loads(pickle.dumps(model)), torch.load(file, weights_only=False)):
        assert words_of(stream(talk(other, tiny_processor, QUESTION), other, tiny_processor)) == expected


def test_a_stored_processor_loads_its_parts_again(tiny_checkpoint: Path) -> None:
    processor = TasteProcessor.from_pretrained(tiny_checkpoint)
    processor.get_generator("cpu")
    voices = processor.voices()
    other = pickle.loads(pickle.dumps(processor))
    assert other.voices().keys() == voices.keys()
    assert other.get_generator("cpu").sampling_rate_hz == processor.get_generator("cpu").sampling_rate_hz


@pytest.mark.parametrize(
    ("cast", "dtype"),
    [
        (lambda model: model.half(), torch.float16),
        (lambda model: model.bfloat16(), torch.bfloat16),
        (lambda model: model.double(), torch.float64),
        (lambda model: model.to("cpu", torch.bfloat16), torch.bfloat16),
        (lambda model: model.half().to(dtype=torch.float32), torch.float32),
    ],
)
def test_a_cast_model_is_as_if_loaded_so(
    cast: Any, dtype: torch.dtype, tiny_checkpoint: Path, tiny_processor: Any
) -> None:
    model = cast(TasteForCausalLM.from_pretrained(tiny_checkpoint))
    loaded = TasteForCausalLM.from_pretrained(tiny_checkpoint, dtype=dtype)
    types = [{name: x.dtype for name, x in m.named_parameters()} for m in (model, loaded)]
    assert types[0] == types[1]
    assert model.dtype == loaded.dtype
    assert words_of(stream(talk(model, tiny_processor, QUESTION), model, tiny_processor))


def test_the_voice_goes_where_the_model_goes(tiny_checkpoint: Path, tmp_path: Path) -> None:
    model = TasteForCausalLM.from_pretrained(tiny_checkpoint, device_map="cpu")
    names = set(model.state_dict())
    assert model.voice is model.voice
    assert set(model.state_dict()) == names  # its weights are in a file of their own
    model.save_pretrained(tmp_path)
    assert model.to("meta").voice.device.type == "meta"
    with pytest.raises(CheckpointError, match="has none of voice_generator"):
        _ = TasteForCausalLM.from_pretrained(tmp_path).voice
    with pytest.raises(CheckpointError, match=r"give it one: model\.set_voice\(VoiceGenerator"):
        _ = build(model.config).voice


def test_weights_are_not_read_into_nothing(tiny_checkpoint: Path) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=r"under torch.device\('meta'\), which cannot"):
        TasteForCausalLM.from_pretrained(tiny_checkpoint)


def test_a_configuration_that_is_written_stays_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread may read it meanwhile."""
    config = TasteConfig()
    seen, convert = [], PreTrainedConfig.to_dict

    def looking(self: PreTrainedConfig) -> dict[str, Any]:
        seen.append((config.streaming, config.vocabulary))
        return convert(self)

    monkeypatch.setattr(PreTrainedConfig, "to_dict", looking)
    written = config.to_dict()
    assert seen
    assert all(None not in sections for sections in seen)
    assert TasteConfig(**written).streaming == config.streaming
