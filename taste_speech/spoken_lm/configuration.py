"""Configuration of the spoken language model's bridges, LoRA and sampling vocabulary."""

from typing import Literal

from pydantic import Field

from taste_speech.configuration_base import StrictSection, TolerantSection, require_defaults


class LoraConfig(TolerantSection):
    """Published section `kwargs_for_lora`; the adapters are merged when a checkpoint is read."""

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

    sos_id: int = 128000
    loss_weights: str = "0.5-0.5"
    delay: int = Field(default=1, ge=1)
    """Words by which taste tokens lag behind the text."""
    delay_level: str = "word"
    audio_embed_conv_mode: str = "fill_forward"
    in_llm_module: str = "weighted_sum"
    out_llm_module: str = "continue_latent_linear_last"
    taste_deviations: float = 1.0
    """Ours. Standard deviations that are added to the mean of a taste vector at inference. The published
    model adds one. The taste loss pulls the deviation to 1 / sqrt(3) however sure the mean is: where codes
    are small against that (as in our own checkpoint), it would drown them, and this is 0."""
    use_lora: bool = True
    kwargs_for_lora: LoraConfig = Field(default_factory=LoraConfig)


def check_supported(config: SpokenLMConfig) -> None:
    """Refuse variants that the published configuration can name but no checkpoint uses."""
    variants = ("delay_level", "audio_embed_conv_mode", "in_llm_module", "out_llm_module")
    require_defaults(config, "spoken_lm_config", *variants)


class VocabularyConfig(StrictSection):
    """What the sampler knows about LLM ids (section `vocabulary`, ours)."""

    first_special_id: int = 128000
    """Ids from here on are special tokens; they count as word starts."""
    more_special_ids: list[int] = Field(default_factory=list)
    """Special tokens below `first_special_id`."""
    banned_ids: list[int] = Field(default=[128001])
    allowed_characters: str = r"[.,'a-zA-Z0-9]"
    """A text token is speakable if it has at least one character of this class."""
    sentence_end: str = "."
    text_is_spoken: bool = False
    """Whether the model knows text only as it is read aloud, with numbers, signs and abbreviations as words.
    V0 was trained on text as it is written."""
    asr_pieces: Literal["text", "phonemes"] = "text"
    """What the ASR tokenizer cuts into pieces: words as they are written, or as they are pronounced."""
    round_rotary_to_bf16: bool = True
    """Whether rotary frequencies are rounded to bfloat16, as in V0 (docs/model.md, Rotary frequencies)."""

    def special_ids(self, size: int) -> frozenset[int]:
        """Return the special tokens of a vocabulary of `size` ids."""
        return frozenset(self.more_special_ids) | frozenset(range(self.first_special_id, size))
