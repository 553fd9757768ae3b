"""Stage 2 but for its schedule: talks as rows of the spoken LM, and its losses."""

from taste_speech.training.mind.loss import talk_losses
from taste_speech.training.mind.rows import NoTaste, TalkEncoder, TalkRows, TasteSource
from taste_speech.training.mind.taste_bank import TasteBank

__all__ = [
    "NoTaste",
    "TalkEncoder",
    "TalkRows",
    "TasteBank",
    "TasteSource",
    "talk_losses",
]
