"""`TasteConfig`: everything that describes a TASTE checkpoint of any size."""

import copy
from collections.abc import Mapping
from dataclasses import field, fields
from typing import Any, Literal

from pydantic import BaseModel
from transformers import AutoConfig, LlamaConfig, PreTrainedConfig, WhisperConfig

from taste_speech.configuration_base import StrictSection
from taste_speech.configuration_sections import (
    AudioTowerConfig,
    SpeechDecoderConfig,
    SpokenLMConfig,
    TowerConfig,
    UnitDecodingConfig,
    VocabularyConfig,
)
from taste_speech.streaming.configuration import StreamingConfig
from taste_speech.vocoder.configuration import VoiceGeneratorConfig

_V0_TEXT_CONFIG = {
    "vocab_size": 128256,
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5,
    "rope_theta": 500000.0,
    "rope_scaling": {
        "factor": 32.0,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    },
    "tie_word_embeddings": True,
    "bos_token_id": 128000,
    "eos_token_id": 128001,
}


class RecognitionConfig(StrictSection):
    """Section `recognition` (ours): the Whisper model that recognizes speech."""

    whisper_name: str = "openai/whisper-large-v3"
    """Hub id, or "tiny.en" for the model in an installed package (`taste_speech.pretrained.whisper`)."""
    language: str = "english"


class PretrainedModels(StrictSection):
    """Section `pretrained` (ours): models whose weights and tokenizers are not in the checkpoint."""

    language_model: Literal["smollm2-135m-instruct"] | None = None
    encoder: Literal["whisper-tiny.en"] | None = None


class TasteConfig(PreTrainedConfig):
    """Configuration of `TasteForCausalLM`, `TasteProcessor` and `VoiceGenerator`.

    Args:
        audio_tower_config, speech_decoder_config, spoken_lm_config: sections of the published file; each
            unknown key is reported once.
        text_config, asr_config: Llama and Whisper sections, as transformers writes them.
        tower: sizes of the audio tower. None: those of `asr_config` if they match the stored tensors
            (`resolve_tower`), else V0's.
        vocabulary, unit_decoding, voice_generator, streaming, recognition, pretrained: sections of this
            project; unknown keys are errors.
    """

    model_type = "taste"
    sub_configs = {"text_config": LlamaConfig, "asr_config": WhisperConfig}

    # Each can also be given as a dictionary, as in `config.json`.
    audio_tower_config: AudioTowerConfig = field(default_factory=AudioTowerConfig)
    speech_decoder_config: SpeechDecoderConfig = field(default_factory=SpeechDecoderConfig)
    spoken_lm_config: SpokenLMConfig = field(default_factory=SpokenLMConfig)
    text_config: LlamaConfig = field(default_factory=lambda: LlamaConfig(**copy.deepcopy(_V0_TEXT_CONFIG)))
    asr_config: WhisperConfig = field(default_factory=WhisperConfig)
    tower: TowerConfig | None = None
    vocabulary: VocabularyConfig = field(default_factory=VocabularyConfig)
    unit_decoding: UnitDecodingConfig = field(default_factory=UnitDecodingConfig)
    voice_generator: VoiceGeneratorConfig = field(default_factory=VoiceGeneratorConfig)
    streaming: StreamingConfig = field(default_factory=StreamingConfig)
    recognition: RecognitionConfig = field(default_factory=RecognitionConfig)
    pretrained: PretrainedModels = field(default_factory=PretrainedModels)

    def __post_init__(self, **kwargs: Any) -> None:
        for section in fields(TasteConfig):
            value, kind = getattr(self, section.name), section.default_factory
            if isinstance(kind, type) and issubclass(kind, BaseModel) and not isinstance(value, kind):
                setattr(self, section.name, kind.model_validate(value or {}))
        if isinstance(self.tower, Mapping):
            self.tower = TowerConfig.model_validate(self.tower)
        if not isinstance(self.text_config, LlamaConfig):
            self.text_config = LlamaConfig(**copy.deepcopy(self.text_config or _V0_TEXT_CONFIG))
        if not isinstance(self.asr_config, WhisperConfig):
            self.asr_config = WhisperConfig(**(self.asr_config or {}))
        super().__post_init__(**kwargs)

    def to_dict(self) -> dict[str, Any]:
        """Return the whole configuration as JSON types."""
        sections = {name: value for name, value in vars(self).items() if isinstance(value, BaseModel)}
        # transformers' own conversion does not support pydantic models; it gets a copy without them.
        plain = copy.copy(self)
        plain.__dict__.update(dict.fromkeys(sections))
        output = super(TasteConfig, plain).to_dict()
        return output | {name: value.model_dump() for name, value in sections.items()}


AutoConfig.register("taste", TasteConfig)
