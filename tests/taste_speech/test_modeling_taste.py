"""What configurations a model is built from."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from taste_speech import TasteConfig, TasteForCausalLM
from taste_speech.conversion.hub import SHIPPED, shipped_names
from tests.conftest import GOLDEN


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
