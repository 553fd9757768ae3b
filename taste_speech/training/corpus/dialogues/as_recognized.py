"""What Whisper writes of a spoken turn: capitals and marks mostly as they should be, no hesitations."""

import random
import re
from dataclasses import replace

from taste_speech.training.corpus.dialogues.turns import Turn

_HESITATION = re.compile(r",? ?\b(?:um|uh)\b,?", re.IGNORECASE)
_WRITTEN_MURMURS = {
    "mhm": ("Mm-hmm.", "Mhm.", "Mm-hmm"),
    "mm": ("Mm.", "Mmm.", "Mmm..."),
    "hm": ("Hmm.", "Hm.", "Hmm..."),
    "uh huh": ("Uh-huh.", "Uh huh.", "Uh-huh"),
}
_ENDS_OF_CUT_TURNS = (".", ".", "...", "...", "", "?", ",")


def as_recognized(turn: Turn, rng: random.Random) -> Turn:
    """Return a spoken turn of the person as recognition gives it; any other turn as it is."""
    if turn.role != "user" or turn.modality != "speech" or turn.recognised is not None:
        return turn
    if turn.kind == "murmur":
        return replace(
            turn, recognised=rng.choice(_WRITTEN_MURMURS.get(turn.text, (turn.text.capitalize() + ".",)))
        )
    text = " ".join(_HESITATION.sub("", turn.text).split()) or turn.text
    if not turn.finished:
        text = text.rstrip(".,?!") + rng.choice(_ENDS_OF_CUT_TURNS)
    draw = rng.random()
    if draw < 0.08:
        text = re.sub(r"[.,?!]", "", text).lower()
    elif draw < 0.2:
        text = text.replace(",", "")
    elif draw < 0.28:
        text = text.rstrip("?!.") + "."
    return replace(turn, recognised=text)
