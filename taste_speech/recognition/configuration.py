"""Configuration of speech recognition that comes with a checkpoint."""

from taste_speech.configuration_base import StrictSection


class RecognitionConfig(StrictSection):
    """Section `recognition` (ours)."""

    whisper_name: str = "openai/whisper-large-v3"
    """Hub id, or `tiny.en`: of a package (`taste_speech.pretrained.whisper`)."""
    language: str = "english"
