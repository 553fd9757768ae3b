"""Configuration of the unit decoder (text and taste tokens -> speech units)."""

from pydantic import Field

from taste_speech.configuration_base import StrictSection, TolerantSection


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
    """So many tokens at the end need not be reached before the units may stop: a mark, a silent letter."""


class UnitDecodingConfig(StrictSection):
    """What the published file leaves to the code (section `unit_decoding`, ours)."""

    audio_encoder_blocks: int = 2
    audio_encoder_heads: int = 8
    audio_encoder_linear_units: int = 2048
    top_k: int = Field(default=25, ge=1)
    """Units are drawn from so many of the most probable ones."""
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
