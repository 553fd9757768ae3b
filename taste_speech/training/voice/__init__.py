"""What the stages of the voice share, and the discriminator of the vocoder."""

from taste_speech.training.voice.discriminator import Discriminator, multi_resolution_stft_loss
from taste_speech.training.voice.features import VoiceFeatures, fixed_embedding, prepared_features

__all__ = [
    "Discriminator",
    "VoiceFeatures",
    "fixed_embedding",
    "multi_resolution_stft_loss",
    "prepared_features",
]
