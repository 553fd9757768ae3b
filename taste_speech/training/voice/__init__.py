"""What the stages of the voice share."""

from taste_speech.training.voice.features import (
    VoiceFeatures,
    fixed_embedding,
    prepared_features,
    stored_voice,
)
from taste_speech.training.voice.phone_times import marked_phones_at, marked_phones_of
from taste_speech.training.voice.stft_loss import multi_resolution_stft_loss
from taste_speech.training.voice.unit_vectors import unit_vectors

__all__ = [
    "VoiceFeatures",
    "fixed_embedding",
    "marked_phones_at",
    "marked_phones_of",
    "multi_resolution_stft_loss",
    "prepared_features",
    "stored_voice",
    "unit_vectors",
]
