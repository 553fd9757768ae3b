"""Configuration of the unit decoder (text and taste tokens -> speech units), and its encoders' sizes."""

from dataclasses import dataclass, replace
from typing import Any

from pydantic import Field

from taste_speech.configuration_base import StrictSection, TolerantSection, require_defaults


class FusionConfig(TolerantSection):
    """Published section `fuse_encoded_audio_text_kwargs`."""

    normalize: bool = False
    use_layer_norm: bool = False
    use_trainable_weight: bool = True
    weight_init_type: str = "balance"


class SpeechDecoderConfig(TolerantSection):
    """Published section `speech_decoder_config`; `encoder__*` and `llm__*` are flat in the file."""

    audio_encoder_input_size: int = 1280
    encoder_input_size: int = 512
    encoder__attention_heads: int = 8
    encoder__linear_units: int = 2048
    encoder__num_blocks: int = 3
    encoder__input_layer: str = "linear"
    encoder__pos_enc_layer_type: str = "rel_pos_espnet"
    encoder__selfattention_layer_type: str = "rel_selfattn"
    encoder__normalize_before: bool = True
    encoder__use_cnn_module: bool = False
    encoder__macaron_style: bool = False
    encoder__use_dynamic_chunk: bool = False
    encoder__use_dynamic_left_chunk: bool = False
    encoder__static_chunk_size: int = 1
    encoder__dropout_rate: float = 0.1
    encoder__positional_dropout_rate: float = 0.1
    encoder__attention_dropout_rate: float = 0.0
    llm_input_size: int = 1024
    llm_output_size: int = 1024
    llm__attention_heads: int = 8
    llm__linear_units: int = 2048
    llm__num_blocks: int = 7
    llm__input_layer: str = "linear_legacy"
    llm__pos_enc_layer_type: str = "rel_pos_espnet"
    llm__selfattention_layer_type: str = "rel_selfattn"
    llm__static_chunk_size: int = 1
    llm__dropout_rate: float = 0.1
    llm__positional_dropout_rate: float = 0.1
    llm__attention_dropout_rate: float = 0.0
    text_token_size: int = 51866
    speech_token_size: int = 4096
    spk_embed_dim: int = 192
    skip_prefix_idx: int = 4
    fuse_encoded_audio_text_type: str = "weighted_sum"
    fuse_encoded_audio_text_kwargs: FusionConfig = Field(default_factory=FusionConfig)


class AlignmentWindowConfig(StrictSection):
    """ASR tokens that the alignment heads see around the one being said, while units are generated."""

    back: int = Field(default=1, ge=0)
    ahead: int = Field(default=4, ge=1)
    unsaid: int = Field(default=2, ge=0)
    """Tokens at the end that need not be reached before the units may stop: a mark, a silent letter."""


class UnitDecodingConfig(StrictSection):
    """What the published file leaves to the code (section `unit_decoding`, ours)."""

    audio_encoder_blocks: int = 2
    audio_encoder_heads: int = 8
    audio_encoder_linear_units: int = 2048
    top_k: int = Field(default=25, ge=1)
    """How many of the most probable units a unit is drawn from."""
    temperature: float = Field(default=1.0, gt=0)
    """Of the draw; below 1 the probable units become more so."""
    min_units_per_row: float = 2.0
    """At least this many units for each row of the prefix (rows = ASR tokens + 3)."""
    max_units_per_row: float = 20.0
    alignment_heads: list[tuple[int, int]] | None = None
    """(block, head) pairs of the unit language model whose attention says which word a unit belongs to;
    None: the mean of all."""
    alignment_window: AlignmentWindowConfig | None = None
    """Binds the `alignment_heads` to the text in order; None: they look anywhere, as published."""
    units_per_second: int = 50


@dataclass(frozen=True)
class EncoderSettings:
    """Sizes of an encoder.

    Attributes:
        transformer: blocks with ReLU and the names `norm1`, `norm2`; else SiLU, `norm_mha`, `norm_ff`.
        input_relu: the input layer ends with a ReLU ("linear_legacy").
        causal: row i sees rows 0..i only.
    """

    input_size: int
    size: int
    heads: int
    linear_units: int
    blocks: int
    transformer: bool = False
    input_relu: bool = False
    causal: bool = True
    dropout: float = 0.1
    positional_dropout: float = 0.1
    attention_dropout: float = 0.0


_PUBLISHED_NAMES = {
    "heads": "attention_heads",
    "linear_units": "linear_units",
    "blocks": "num_blocks",
    "dropout": "dropout_rate",
    "positional_dropout": "positional_dropout_rate",
    "attention_dropout": "attention_dropout_rate",
}


def text_settings(config: SpeechDecoderConfig) -> EncoderSettings:
    """Return the sizes of the text encoder."""
    causal = config.encoder__static_chunk_size == 1
    return _settings(config, "encoder", config.encoder_input_size, config.llm_input_size, causal=causal)


def audio_settings(config: SpeechDecoderConfig, decoding: UnitDecodingConfig) -> EncoderSettings:
    """Return the sizes of the taste tokens' encoder; the published code fixes its depth, heads and width."""
    return replace(
        text_settings(config),
        heads=decoding.audio_encoder_heads,
        linear_units=decoding.audio_encoder_linear_units,
        blocks=decoding.audio_encoder_blocks,
    )


def language_model_settings(config: SpeechDecoderConfig) -> EncoderSettings:
    """Return the sizes of the language model over units."""
    return _settings(
        config, "llm", config.llm_input_size, config.llm_output_size, transformer=True, input_relu=True
    )


def _settings(
    config: SpeechDecoderConfig, prefix: str, input_size: int, size: int, **flags: bool
) -> EncoderSettings:
    sizes: dict[str, Any] = {
        ours: getattr(config, f"{prefix}__{published}") for ours, published in _PUBLISHED_NAMES.items()
    }
    return EncoderSettings(input_size, size, **sizes, **flags)


def check_supported(config: SpeechDecoderConfig, decoding: UnitDecodingConfig) -> None:
    """Refuse variants that no checkpoint uses, alignment heads that do not exist, and a window for none.

    Raises:
        ValueError: names the field, its value and what is supported.
    """
    require_defaults(
        config,
        "speech_decoder_config",
        "encoder__input_layer",
        "encoder__pos_enc_layer_type",
        "encoder__selfattention_layer_type",
        "encoder__normalize_before",
        "encoder__use_cnn_module",
        "encoder__macaron_style",
        "encoder__use_dynamic_chunk",
        "llm__input_layer",
        "llm__pos_enc_layer_type",
        "llm__selfattention_layer_type",
        "llm__static_chunk_size",
        "fuse_encoded_audio_text_type",
    )
    fusion = config.fuse_encoded_audio_text_kwargs
    require_defaults(fusion, "fuse_encoded_audio_text_kwargs", "normalize", "use_layer_norm")
    if config.encoder__static_chunk_size not in (0, 1):
        raise ValueError(
            f"speech_decoder_config.encoder__static_chunk_size is {config.encoder__static_chunk_size}; "
            "give 1 (each token sees those before it, as published) or 0 (all tokens see each other)"
        )
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
