"""Configuration of speech recognition that comes with a checkpoint."""

from pydantic import Field

from taste_speech.configuration_base import StrictSection
from taste_speech.recognition.acoustic import AcousticConfig


class RecognitionConfig(StrictSection):
    """Section `recognition` (ours)."""

    backend: str = Field(default="whisper", pattern="^(whisper|pocketsphinx|ctc|combined)$")
    whisper_name: str = "openai/whisper-large-v3"
    """Hub id, or `tiny.en`: of a package (`taste_speech.pretrained.whisper`)."""
    language: str = "english"
    language_model: str | None = None
    """File in the checkpoint: PocketSphinx language model; one that ends in `.xz` is compressed."""
    dictionary: str | None = None
    """File in the checkpoint: pronunciation dictionary in PocketSphinx's format."""
    acoustic_model: str | None = None
    """File in the checkpoint: weights of the `ctc` recogniser."""
    acoustic: AcousticConfig = Field(default_factory=AcousticConfig)
