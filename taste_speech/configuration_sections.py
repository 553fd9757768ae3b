"""Sections of `config.json`: audio tower, spoken LM and speech decoder.

Keys with the same name as in the published file must stay, even where only their default is supported.
"""

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from taste_speech.configuration_base import StrictSection, TolerantSection


class TowerConfig(StrictSection):
    """Sizes of the audio tower (section `tower`, ours). The defaults are those of the published V0."""

    d_model: int = 1280
    encoder_layers: int = 32
    encoder_attention_heads: int = 20
    encoder_ffn_dim: int = 5120
    decoder_layers: int = 2
    decoder_attention_heads: int = 20
    decoder_ffn_dim: int = 5120
    num_mel_bins: int = 128
    vocab_size: int = 51866
    max_source_positions: int = 1500
    max_target_positions: int = 448
    activation_function: str = "gelu"
    prefix_ids: list[int] = Field(default=[50258, 50259, 50360, 50364])
    """ASR ids before the text: start of transcript, language, task, no timestamps."""
    eos_id: int = 50257
    pad_to_max_source: bool = True
    """Whether to pad each utterance to `max_source_positions`, as Whisper does in training."""
    source_windows: list[int] = Field(default_factory=list)
    """Window lengths in encoder frames. The encoder sees each utterance padded with silence to the smallest
    window that holds it; the aggregator sees the utterance alone. Empty: `pad_to_max_source` decides."""
    sampling_rate_hz: int = 16000
    n_fft: int = 400
    hop_samples: int = 160
    """Samples between two log-mel frames of the input features."""

    def window_of(self, mel_frames: int) -> int:
        """Return the smallest of `source_windows` that holds the mel frames, or else the largest."""
        frames = (mel_frames + 1) // 2
        windows = sorted(self.source_windows)
        return next((window for window in windows if window >= frames), windows[-1])


class JointEncoderSegmenterConfig(TolerantSection):
    """Published section `kwargs_for_joint_encoder_segmenter`."""

    fixed_keys: ClassVar = ("forward_type",)

    forward_type: str = "asr_attn_pooling"
    is_word_level: bool = True
    skip_prefix_idx: int = 4
    target_hidden_layer: int = 6
    """Index of the encoder layer whose input provides the aggregator's values."""
    make_v_proj_identity: bool = True
    dtype: str = "bfloat16"
    model_name_or_path: str = "distil-whisper/distil-large-v3"
    use_custom: bool = True


class QuantizerConfig(TolerantSection):
    """Published section `kwargs_for_quantizer`: the residual vector quantizer."""

    dim: int = 1280
    codebook_dim: int = 256
    codebook_size: int = 512
    num_quantizers: int = 4
    decay: float = 0.99
    kmeans_init: bool = True
    kmeans_iters: int = 100
    quantize_dropout: bool = True


class AudioTowerConfig(TolerantSection):
    """Published section `audio_tower_config`."""

    fixed_keys: ClassVar = ("is_joint_encoder_segmenter",)

    is_joint_encoder_segmenter: bool = True
    kwargs_for_joint_encoder_segmenter: JointEncoderSegmenterConfig = Field(
        default_factory=JointEncoderSegmenterConfig
    )
    kwargs_for_quantizer: QuantizerConfig = Field(default_factory=QuantizerConfig)
    audio_embed_dim: int = 1280
    quantization_on: bool = True
    audio_dropout_ratio: float = 0.0
    text_token_size: int = 51866
    encoder_input_size: int | None = None


class LoraConfig(TolerantSection):
    """Published section `kwargs_for_lora`. The adapters are merged when a checkpoint is loaded."""

    lora_model_dir: str | None = None
    lora_r: int = 64
    lora_alpha: float = 128
    lora_dropout: float = 0.05
    lora_target_linear: bool = True
    lora_target_modules: list[str] | None = None
    lora_fan_in_fan_out: bool | None = None
    lora_modules_to_save: list[str] | None = None


class SpokenLMConfig(TolerantSection):
    """Published section `spoken_lm_config`."""

    fixed_keys: ClassVar = ("delay_level", "audio_embed_conv_mode", "in_llm_module", "out_llm_module")

    sos_id: int = 128000
    loss_weights: str = "0.5-0.5"
    delay: int = Field(default=1, ge=1)
    """Number of words by which taste tokens lag behind the text."""
    delay_level: str = "word"
    audio_embed_conv_mode: str = "fill_forward"
    in_llm_module: str = "weighted_sum"
    out_llm_module: str = "continue_latent_linear_last"
    taste_deviations: float = 1.0
    """Ours. Standard deviations added to the mean of a taste vector at inference; the published model adds
    one. The taste loss pulls the deviation to 1 / sqrt(3) no matter how certain the mean is. Use 0 if the
    codes are small in comparison, as in our own checkpoint: the deviation would drown them."""
    use_lora: bool = True
    kwargs_for_lora: LoraConfig = Field(default_factory=LoraConfig)


class VocabularyConfig(StrictSection):
    """What the sampler knows about LLM ids (section `vocabulary`, ours)."""

    first_special_id: int = 128000
    """First special token; all ids from here on are special. They count as word starts."""
    more_special_ids: list[int] = Field(default_factory=list)
    """Special tokens below `first_special_id`."""
    banned_ids: list[int] = Field(default=[128001])
    allowed_characters: str = r"[.,'a-zA-Z0-9]"
    """Character class: a text token can be spoken if it contains at least one of these characters."""
    sentence_end: str = "."
    text_is_spoken: bool = False
    """Whether the model was trained on text as it is read aloud, with numbers, symbols and abbreviations
    spelled out. V0 was trained on text as it is written."""
    asr_pieces: Literal["text", "phones"] = "text"
    """ASR tokens: those of the checkpoint's tokenizer, or phones (`taste_speech.phones`), with which the
    speech decoder is a `PhoneDecoder`."""
    round_rotary_to_bf16: bool = True
    """Whether to round rotary frequencies to bfloat16, as in V0 (docs/model.md, Rotary frequencies)."""

    def special_ids(self, size: int) -> frozenset[int]:
        """Return the special tokens of a vocabulary with `size` ids."""
        return frozenset(self.more_special_ids) | frozenset(range(self.first_special_id, size))


class FusionConfig(TolerantSection):
    """Published section `fuse_encoded_audio_text_kwargs`."""

    fixed_keys: ClassVar = ("normalize", "use_layer_norm")

    normalize: bool = False
    use_layer_norm: bool = False
    use_trainable_weight: bool = True
    weight_init_type: str = "balance"


class SpeechDecoderConfig(TolerantSection):
    """Published section `speech_decoder_config`; the file has `encoder__*` and `llm__*` on one level."""

    fixed_keys: ClassVar = (
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

    def check_supported(self, name: str) -> None:
        """Check as for all published sections, and that the chunk size is supported."""
        super().check_supported(name)
        if self.encoder__static_chunk_size not in (0, 1):
            raise ValueError(
                f"{name}.encoder__static_chunk_size is {self.encoder__static_chunk_size}; give 1 (each token "
                "sees the tokens before it, as published) or 0 (all tokens see each other)"
            )


class UnitDecodingConfig(StrictSection):
    """What the published file leaves to the code (section `unit_decoding`, ours)."""

    audio_encoder_blocks: int = 2
    audio_encoder_heads: int = 8
    audio_encoder_linear_units: int = 2048
    top_k: int = Field(default=25, ge=1)
    """Number of most probable units to sample from."""
    temperature: float = Field(default=1.0, gt=0)
    """Sampling temperature; below 1 favors the probable units."""
    min_units_per_row: float = 2.0
    """Minimum number of units per row of the prefix (rows = ASR tokens + 3)."""
    max_units_per_row: float = 20.0
    units_per_second: int = 50

    @model_validator(mode="before")
    @classmethod
    def _forget_alignment(cls, values: Any) -> Any:
        """Read sections that still name alignment heads and their window, which no unit decoder has now."""
        if isinstance(values, dict):
            return {key: value for key, value in values.items() if not key.startswith("alignment_")}
        return values
