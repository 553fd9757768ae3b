"""Configuration of the audio tower: Whisper-shaped encoder, text-aligned aggregator, residual quantizer."""

from pydantic import Field

from taste_speech.configuration_base import StrictSection, TolerantSection, require_defaults


class TowerConfig(StrictSection):
    """Sizes of the tower (section `tower`, ours). Defaults are those of the published V0 checkpoint."""

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
    """Whether every utterance is padded to `max_source_positions` (as Whisper is trained) or
    encoded as long as it is."""
    source_windows: list[int] = Field(default_factory=list)
    """Lengths in encoder frames: the encoder sees each utterance with silence behind it up to the smallest
    that holds it, and the aggregator the utterance alone. Empty: `pad_to_max_source` decides."""
    sampling_rate_hz: int = 16000
    n_fft: int = 400
    hop_samples: int = 160
    """Samples between two log-mel frames of the input features."""

    def window_of(self, mel_frames: int) -> int:
        """Return the smallest of `source_windows` that holds the mel frames; the largest where none does."""
        frames = (mel_frames + 1) // 2
        return next(
            (window for window in sorted(self.source_windows) if window >= frames), max(self.source_windows)
        )


class JointEncoderSegmenterConfig(TolerantSection):
    """Published section `kwargs_for_joint_encoder_segmenter`."""

    forward_type: str = "asr_attn_pooling"
    is_word_level: bool = True
    skip_prefix_idx: int = 4
    target_hidden_layer: int = 6
    """The hidden state that enters this encoder layer gives the aggregator's values."""
    make_v_proj_identity: bool = True
    dtype: str = "bfloat16"
    model_name_or_path: str = "distil-whisper/distil-large-v3"
    use_custom: bool = True


class QuantizerConfig(TolerantSection):
    """Published section `kwargs_for_quantizer`: residual vector quantizer."""

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


def check_supported(config: AudioTowerConfig) -> None:
    """Refuse variants that the published configuration can name but no checkpoint uses."""
    require_defaults(config, "audio_tower_config", "is_joint_encoder_segmenter")
    name = "audio_tower_config.kwargs_for_joint_encoder_segmenter"
    require_defaults(config.kwargs_for_joint_encoder_segmenter, name, "forward_type")
