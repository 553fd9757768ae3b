"""Stage 1 but for its schedule: speech of known text -> one taste token per word -> speech units."""

from taste_speech.training.autoencoder.audio_start import begin_audio, begin_quantizer
from taste_speech.training.autoencoder.encoded_store import EncodedStore
from taste_speech.training.autoencoder.model import Condition, TasteAutoencoder
from taste_speech.training.autoencoder.noise import UnitNoise, guess
from taste_speech.training.autoencoder.reply_utterances import (
    asr_tokenizer,
    heard_by,
    load_utterances,
    with_taste_ids,
)
from taste_speech.training.autoencoder.side_tasks import learn_prosody
from taste_speech.training.autoencoder.windows import WindowBatches, Windows

__all__ = [
    "Condition",
    "EncodedStore",
    "TasteAutoencoder",
    "UnitNoise",
    "WindowBatches",
    "Windows",
    "asr_tokenizer",
    "begin_audio",
    "begin_quantizer",
    "guess",
    "heard_by",
    "learn_prosody",
    "load_utterances",
    "with_taste_ids",
]
