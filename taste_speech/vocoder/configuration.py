"""Configuration of the voice generator: speech units -> mel (flow matching) -> waveform (HiFT)."""

from pydantic import Field

from taste_speech.configuration_base import StrictSection


class FlowEncoderConfig(StrictSection):
    """Conformer over speech units."""

    input_size: int = 512
    output_size: int = 512
    attention_heads: int = 8
    linear_units: int = 2048
    num_blocks: int = 6


class EstimatorConfig(StrictSection):
    """U-Net that estimates the flow's velocity field."""

    channels: list[int] = Field(default=[256, 256])
    time_embed_dim: int = 320
    """Width of the sinusoidal time vector."""
    time_mlp_dim: int = 1024
    time_scale: float = 1000.0
    num_transformers: int = 4
    """Transformer blocks after each resnet."""
    num_mid_blocks: int = 12
    num_heads: int = 8
    head_dim: int = 64
    feed_forward_mult: int = 4
    norm_groups: int = 8


class FlowConfig(StrictSection):
    """Conditional flow matching."""

    encoder: FlowEncoderConfig = Field(default_factory=FlowEncoderConfig)
    estimator: EstimatorConfig = Field(default_factory=EstimatorConfig)
    length_regulator_convs: int = 4
    mel_mean: float = 0.0
    mel_std: float = 1.0
    """The flow works on (mel - mel_mean) / mel_std. V0 takes the mel as it is."""
    num_steps: int = 10
    cfg_rate: float = 0.7
    """Classifier-free guidance: v = (1 + rate) v(conditioned) - rate v(unconditioned)."""
    sigma_min: float = 1e-6
    """Training: width of the path's end."""
    condition_dropout: float = 0.2
    """Training: share of items without condition, for the guidance."""
    prompt_rate: float = 0.5
    """Training: share of items whose first frames are given as a prompt."""
    prompt_share: float = 0.3
    """Training: largest share of an item's frames that the prompt covers."""
    phones: bool = False
    """Units are phones with their pitch, see `taste_speech.phones`."""
    start: float = Field(default=0.0, ge=0, lt=1)
    """How far on the path from noise to mel the flow begins, with the condition in the mel's place (shallow
    diffusion, Liu et al., 2022): for conditions that are near the mel already."""
    known_frames_as_prompt: bool = False
    """Streaming: give the mel frames that were played as a prompt. V0 never used prompts."""


class HiFTConfig(StrictSection):
    """HiFT vocoder (harmonic source, upsampling, inverse STFT)."""

    base_channels: int = 512
    num_harmonics: int = 8
    upsample_rates: list[int] = Field(default=[8, 8])
    upsample_kernel_sizes: list[int] = Field(default=[16, 16])
    istft_n_fft: int = 16
    istft_hop: int = 4
    resblock_kernel_sizes: list[int] = Field(default=[3, 7, 11])
    resblock_dilations: list[list[int]] = Field(default=[[1, 3, 5], [1, 3, 5], [1, 3, 5]])
    source_resblock_kernel_sizes: list[int] = Field(default=[7, 11])
    source_resblock_dilations: list[list[int]] = Field(default=[[1, 3, 5], [1, 3, 5]])
    leaky_relu_slope: float = 0.1
    final_leaky_relu_slope: float = 0.01
    phase_scale: float = 1.0
    """Largest phase of a frequency bin, in radians. V0's value suffices for its hop of 4 samples; longer hops
    need pi."""
    audio_limit: float = 0.99
    sine_amplitude: float = 0.1
    noise_std: float = 0.003
    voiced_threshold_hz: float = 10.0
    f0_channels: int = 512
    f0_layers: int = 5


class SourceFilterConfig(StrictSection):
    """Source-filter vocoder: filters over a pulse train and over noise, read from mel frames."""

    n_fft: int = 1200
    channels: int = 320
    kernel_size: int = 3
    dilations: list[int] = Field(default=[1, 2, 1, 4, 1])
    mel_mean: float = -7.0
    mel_std: float = 3.0
    """What brings mel frames to about unit variance."""
    log_magnitude_mean: float = -5.0


class MelConfig(StrictSection):
    """How training makes mel frames from audio (not needed to speak)."""

    n_fft: int = 1024
    window_samples: int = 1024
    fmin_hz: float = 0.0
    fmax_hz: float = 8000.0


class VoiceGeneratorConfig(StrictSection):
    """Section `voice_generator` (ours; the published file has none, so the defaults are V0's)."""

    unit_vocab_size: int = 4096
    units_per_second: int = 50
    sampling_rate_hz: int = 22050
    hop_samples: int = 256
    mel_bins: int = 80
    speaker_embed_dim: int = 192
    flow: FlowConfig = Field(default_factory=FlowConfig)
    hift: HiFTConfig = Field(default_factory=HiFTConfig)
    source_filter: SourceFilterConfig | None = None
    """With it the vocoder is a `SourceFilter` instead of HiFT; of `hift` it takes the sizes of the F0
    predictor, the voicing threshold and the limit."""
    mel: MelConfig = Field(default_factory=MelConfig)

    def mel_frames(self, units: int) -> int:
        """Return how many whole mel frames these units last (docs/model.md, Speech units to mel frames)."""
        return units * self.sampling_rate_hz // (self.units_per_second * self.hop_samples)
