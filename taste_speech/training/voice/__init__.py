"""What the stages of the voice share."""

from taste_speech.training.voice.features import (
    VoiceFeatures,
    fixed_embedding,
    prepared_features,
    stored_voice,
)
from taste_speech.training.voice.phone_times import marked_phones_of, phone_pitch_hz, phone_units
from taste_speech.training.voice.stft_loss import multi_resolution_stft_loss

__all__ = [
    "VoiceFeatures",
    "fixed_embedding",
    "marked_phones_of",
    "multi_resolution_stft_loss",
    "phone_pitch_hz",
    "phone_units",
    "prepared_features",
    "stored_voice",
]
