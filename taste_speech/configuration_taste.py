"""`TasteConfig`: everything that describes a TASTE checkpoint of any size."""

import copy
from typing import Any

from transformers import AutoConfig, LlamaConfig, PreTrainedConfig, WhisperConfig

from taste_speech.audio_tower.configuration import AudioTowerConfig, TowerConfig
from taste_speech.configuration_base import StrictSection, TolerantSection
from taste_speech.pretrained.configuration import PretrainedConfig
from taste_speech.recognition.configuration import RecognitionConfig
from taste_speech.speech_decoder.configuration import SpeechDecoderConfig, UnitDecodingConfig
from taste_speech.spoken_lm.configuration import SpokenLMConfig, VocabularyConfig
from taste_speech.streaming.configuration import StreamingConfig
from taste_speech.vocoder.configuration import VoiceGeneratorConfig

_PUBLISHED: dict[str, type[TolerantSection]] = {
    "audio_tower_config": AudioTowerConfig,
    "speech_decoder_config": SpeechDecoderConfig,
    "spoken_lm_config": SpokenLMConfig,
}
_OURS: dict[str, type[StrictSection]] = {
    "vocabulary": VocabularyConfig,
    "unit_decoding": UnitDecodingConfig,
    "voice_generator": VoiceGeneratorConfig,
    "streaming": StreamingConfig,
    "recognition": RecognitionConfig,
    "pretrained": PretrainedConfig,
}
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


class TasteConfig(PreTrainedConfig):
    """Configuration of `TasteForCausalLM`, `TasteProcessor` and `VoiceGenerator`.

    Args:
        audio_tower_config, speech_decoder_config, spoken_lm_config: sections of the published file;
            unknown keys in them are warned about once.
        text_config, asr_config: Llama and Whisper sections, as transformers writes them.
        tower: sizes of the audio tower. None: taken from `asr_config` where they fit the stored tensors
            (`resolve_tower`), else V0's.
        vocabulary, unit_decoding, voice_generator, streaming, recognition, pretrained: sections of this
            project; an unknown key in them is an error.
    """

    model_type = "taste"
    # Declared so that transformers' dataclass machinery keeps our own __init__ and (de)serialisation.
    audio_tower_config: Any = None
    speech_decoder_config: Any = None
    spoken_lm_config: Any = None
    text_config: Any = None
    asr_config: Any = None
    tower: Any = None
    vocabulary: Any = None
    unit_decoding: Any = None
    voice_generator: Any = None
    streaming: Any = None
    recognition: Any = None
    pretrained: Any = None

    def __post_init__(self, **kwargs: Any) -> None:
        known: dict[str, type[StrictSection] | type[TolerantSection]] = {**_PUBLISHED, **_OURS}
        for name, section in known.items():
            value = getattr(self, name)
            if not isinstance(value, section):
                setattr(self, name, section.model_validate(value or {}))
        if self.tower is not None and not isinstance(self.tower, TowerConfig):
            self.tower = TowerConfig.model_validate(self.tower)
        if not isinstance(self.text_config, LlamaConfig):
            self.text_config = LlamaConfig(**copy.deepcopy(self.text_config or _V0_TEXT_CONFIG))
        if not isinstance(self.asr_config, WhisperConfig):
            self.asr_config = WhisperConfig(**(self.asr_config or {}))
        super().__post_init__(**kwargs)

    def to_dict(self) -> dict[str, Any]:
        """The whole configuration as JSON types."""
        sections = {
            name: value
            for name in (*_PUBLISHED, *_OURS, "tower")
            if isinstance(value := getattr(self, name), (StrictSection, TolerantSection))
        }
        # transformers' own conversion knows no pydantic models; it gets a copy without them.
        plain = copy.copy(self)
        for name in sections:
            setattr(plain, name, None)
        output = super(TasteConfig, plain).to_dict()
        return output | {name: value.model_dump() for name, value in sections.items()}


AutoConfig.register("taste", TasteConfig)
