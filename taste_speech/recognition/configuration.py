"""Configuration of speech recognition that comes with a checkpoint."""

from pydantic import Field

from taste_speech.configuration_base import StrictSection


class RecognitionConfig(StrictSection):
    """Section `recognition` (ours)."""

    backend: str = Field(default="whisper", pattern="^(whisper|pocketsphinx)$")
    whisper_name: str = "openai/whisper-large-v3"
    language: str = "english"
    language_model: str | None = None
    """File in the checkpoint: PocketSphinx language model."""
    dictionary: str | None = None
    """File in the checkpoint: PocketSphinx pronunciation dictionary."""
