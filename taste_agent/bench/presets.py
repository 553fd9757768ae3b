"""Models of a size with random weights: what they compute does not depend on the weights."""

from typing import Any

import torch

from taste_agent.bench.synthetic import PresetFiles, SyntheticTokenizer
from taste_agent.dialog.loading import loaded_type, number_type
from taste_speech.configuration_taste import TasteConfig
from taste_speech.modeling_taste import TasteForCausalLM
from taste_speech.processing_taste import TasteProcessor

_ASR_SPECIALS = 50257
_SHORT_BLOCKS = {"attention_heads": 2, "linear_units": 128, "num_blocks": 1}
_SHORT: dict[str, Any] = {
    "tower": {
        "d_model": 64,
        "encoder_layers": 2,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 128,
        "decoder_layers": 1,
        "decoder_attention_heads": 2,
        "decoder_ffn_dim": 128,
        "num_mel_bins": 80,
        "vocab_size": 600,
        "prefix_ids": [580, 581, 582, 583],
        "eos_id": 584,
    },
    "audio_tower_config": {
        "audio_embed_dim": 64,
        "text_token_size": 600,
        "kwargs_for_joint_encoder_segmenter": {"target_hidden_layer": 1},
        "kwargs_for_quantizer": {"dim": 64, "codebook_dim": 16, "codebook_size": 32},
    },
    "speech_decoder_config": {
        "audio_encoder_input_size": 64,
        "encoder_input_size": 64,
        "llm_input_size": 64,
        "llm_output_size": 64,
        **{f"encoder__{name}": value for name, value in _SHORT_BLOCKS.items()},
        **{f"llm__{name}": value for name, value in _SHORT_BLOCKS.items()},
        "text_token_size": 600,
        "speech_token_size": 128,
    },
    "unit_decoding": {
        "audio_encoder_blocks": 1,
        "audio_encoder_heads": 2,
        "audio_encoder_linear_units": 128,
    },
    "spoken_lm_config": {"sos_id": 1000, "use_lora": False},
    "text_config": {
        "vocab_size": 1010,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": True,
        "bos_token_id": 1000,
        "eos_token_id": 1001,
    },
    "vocabulary": {"first_special_id": 1000, "banned_ids": [1001]},
    "voice_generator": {
        "unit_vocab_size": 128,
        "flow": {
            "encoder": {
                "input_size": 32,
                "output_size": 32,
                "attention_heads": 2,
                "linear_units": 64,
                "num_blocks": 1,
            },
            "estimator": {
                "channels": [32, 32],
                "time_embed_dim": 32,
                "time_mlp_dim": 64,
                "num_transformers": 1,
                "num_mid_blocks": 1,
                "num_heads": 2,
                "head_dim": 16,
            },
            "length_regulator_convs": 1,
        },
        "hift": {
            "base_channels": 32,
            "resblock_kernel_sizes": [3],
            "resblock_dilations": [[1]],
            "source_resblock_dilations": [[1], [1]],
            "f0_channels": 32,
            "f0_layers": 2,
        },
    },
}


def build_preset(name: str, device: torch.device, dtype: str) -> tuple[TasteForCausalLM, TasteProcessor]:
    """A random model and a processor for it.

    Args:
        name: `v0` has the published checkpoint's sizes, `v0-short` few and narrow layers.
        device: the weights are made there.
        dtype: of Llama, encoder and aggregator, as for `load_checkpoint`; the rest is float32.
    """
    weights = getattr(torch, loaded_type(number_type(dtype, device), device))
    config = TasteConfig() if name == "v0" else TasteConfig(**_SHORT)
    with torch.random.fork_rng(devices=[]), device:
        torch.manual_seed(0)
        model = TasteForCausalLM(config).to(device).eval()
    for part in (model.spoken_lm.language_model, model.audio_tower.encoder, model.audio_tower.aggregator):
        part.to(weights)
    model.spoken_lm.reset_rotary()
    vocabulary = config.vocabulary.first_special_id
    asr_size = model.audio_tower.config.vocab_size
    processor = TasteProcessor(
        config,
        PresetFiles(name, device),
        llm_tokenizer=SyntheticTokenizer(config.text_config.vocab_size, vocabulary),
        audio_tokenizer=SyntheticTokenizer(
            asr_size, min(_ASR_SPECIALS, model.audio_tower.config.prefix_ids[0])
        ),
    )
    return model, processor
