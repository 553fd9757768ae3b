"""The training corpus: voices that say texts, and what they have said; `dialogues` are talks in text."""

from taste_speech.training.corpus.audio_store import AudioStore, Clip, Timing, pitch_hz
from taste_speech.training.corpus.listeners import DEVELOPMENT_VOICES, HELD_OUT_VOICES, Listeners
from taste_speech.training.corpus.reply_texts import (
    carriers,
    held_out_words,
    is_for_training,
    split_of,
    wordnet_texts,
)
from taste_speech.training.corpus.reply_voice import (
    SAMPLE_RATE_HZ,
    Manner,
    ReplyVoice,
    Spoken,
    manner_of,
    random_manner,
    store_utterance,
)

__all__ = [
    "DEVELOPMENT_VOICES",
    "HELD_OUT_VOICES",
    "SAMPLE_RATE_HZ",
    "AudioStore",
    "Clip",
    "Listeners",
    "Manner",
    "ReplyVoice",
    "Spoken",
    "Timing",
    "carriers",
    "held_out_words",
    "is_for_training",
    "manner_of",
    "pitch_hz",
    "random_manner",
    "split_of",
    "store_utterance",
    "wordnet_texts",
]
