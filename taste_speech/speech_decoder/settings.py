"""Sizes of the unit decoder's encoders, and what of the published configuration is supported."""

from dataclasses import replace

from taste_speech.configuration_base import require_values
from taste_speech.speech_decoder.blocks import EncoderSettings
from taste_speech.speech_decoder.configuration import SpeechDecoderConfig, UnitDecodingConfig


def text_settings(config: SpeechDecoderConfig) -> EncoderSettings:
    """Of the text encoder."""
    return EncoderSettings(
        input_size=config.encoder_input_size,
        size=config.llm_input_size,
        heads=config.encoder__attention_heads,
        linear_units=config.encoder__linear_units,
        blocks=config.encoder__num_blocks,
        causal=config.encoder__static_chunk_size == 1,
        dropout=config.encoder__dropout_rate,
        positional_dropout=config.encoder__positional_dropout_rate,
        attention_dropout=config.encoder__attention_dropout_rate,
    )


def audio_settings(config: SpeechDecoderConfig, decoding: UnitDecodingConfig) -> EncoderSettings:
    """Of the encoder of taste tokens: the published code fixes its depth, heads and width."""
    return replace(
        text_settings(config),
        heads=decoding.audio_encoder_heads,
        linear_units=decoding.audio_encoder_linear_units,
        blocks=decoding.audio_encoder_blocks,
    )


def language_model_settings(config: SpeechDecoderConfig) -> EncoderSettings:
    """Of the language model over units."""
    return EncoderSettings(
        input_size=config.llm_input_size,
        size=config.llm_output_size,
        heads=config.llm__attention_heads,
        linear_units=config.llm__linear_units,
        blocks=config.llm__num_blocks,
        transformer=True,
        input_relu=True,
        dropout=config.llm__dropout_rate,
        positional_dropout=config.llm__positional_dropout_rate,
        attention_dropout=config.llm__attention_dropout_rate,
    )


def check_supported(config: SpeechDecoderConfig) -> None:
    """Refuses variants that the published configuration can name but no checkpoint uses."""
    supported = {
        "encoder__input_layer": "linear",
        "encoder__pos_enc_layer_type": "rel_pos_espnet",
        "encoder__selfattention_layer_type": "rel_selfattn",
        "encoder__normalize_before": True,
        "encoder__use_cnn_module": False,
        "encoder__macaron_style": False,
        "encoder__use_dynamic_chunk": False,
        "llm__input_layer": "linear_legacy",
        "llm__pos_enc_layer_type": "rel_pos_espnet",
        "llm__selfattention_layer_type": "rel_selfattn",
        "llm__static_chunk_size": 1,
        "fuse_encoded_audio_text_type": "weighted_sum",
    }
    require_values(config, "speech_decoder_config", supported)
    if config.encoder__static_chunk_size not in (0, 1):
        raise ValueError(
            f"speech_decoder_config.encoder__static_chunk_size is {config.encoder__static_chunk_size}; "
            "give 1 (each token sees those before it, as published) or 0 (all tokens see each other)"
        )
    fusion = config.fuse_encoded_audio_text_kwargs
    if fusion.normalize or fusion.use_layer_norm:
        raise ValueError("fuse_encoded_audio_text_kwargs: normalize and use_layer_norm must be false")


def check_alignment(config: SpeechDecoderConfig, decoding: UnitDecodingConfig) -> None:
    """Refuses alignment heads that do not exist, and a window for none."""
    blocks, heads = config.llm__num_blocks, config.llm__attention_heads
    for block, head in decoding.alignment_heads or []:
        if not (0 <= block < blocks and 0 <= head < heads):
            raise ValueError(
                f"unit_decoding.alignment_heads has ({block}, {head}); blocks are 0 to {blocks - 1}, "
                f"heads 0 to {heads - 1}"
            )
    if decoding.alignment_heads == []:
        raise ValueError("unit_decoding.alignment_heads is empty; name a (block, head), or give null for all")
    if decoding.alignment_window is not None and decoding.alignment_heads is None:
        raise ValueError(
            "unit_decoding.alignment_window is for alignment_heads, which are null; name the heads that "
            "follow the text, or give null for the window too"
        )
