"""Stage 2 but for its schedule: talks as rows of the spoken LM, and its losses."""

from taste_speech.training.mind.adapted_llama import AdaptedLlama
from taste_speech.training.mind.loss import talk_losses
from taste_speech.training.mind.rows import NoTaste, TalkEncoder, TalkRows, TasteSource
from taste_speech.training.mind.side_by_side import SideBySide
from taste_speech.training.mind.taste_bank import TasteBank

__all__ = [
    "AdaptedLlama",
    "NoTaste",
    "SideBySide",
    "TalkEncoder",
    "TalkRows",
    "TasteBank",
    "TasteSource",
    "talk_losses",
]
