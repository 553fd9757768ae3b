"""Which pretrained models a checkpoint builds on (section `pretrained`, ours)."""

from typing import Literal

from taste_speech.configuration_base import StrictSection


class PretrainedConfig(StrictSection):
    """Models whose weights and tokenizers are not in the checkpoint's folder; None: they are."""

    language_model: Literal["smollm2-135m-instruct"] | None = None
    encoder: Literal["whisper-tiny.en"] | None = None
