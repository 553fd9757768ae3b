"""What happens to turns where people talk: they break off, they murmur, and a recognizer writes them down."""

import random
import re
from collections.abc import Sequence
from dataclasses import replace

from taste_speech.training.corpus.dialogues.turns import Talk, Turn
from taste_speech.training.corpus.lexicon import listed

HANGING = frozenset(
    listed("""
a an the my your his her our their some any every each no of in on at to from with without for about
into over under between against during before after because although unless while and or but if
whether than as is are was were am be been being has have had will would could should might must
can't i'm you're we're they're i've we've what's who's how's where's very really quite too so more
most less another what which whose how why where when who
""")
)
"""Words after which nobody stops for good, where more words follow in the sentence."""
MURMURS = ("mhm", "mm", "hm", "uh huh", "aha", "ah", "oh", "wow")
"""What listeners murmur while somebody else speaks; it says no more than "I am listening"."""
ASSENTS = ("yeah", "yep", "yes", "okay", "right", "sure")
"""They mean the same while the agent speaks, and are an answer when it has asked something."""
_HESITATION = re.compile(r",? ?\b(?:um|uh)\b,?", re.IGNORECASE)
_WRITTEN_MURMURS = {
    "mhm": ("Mm-hmm.", "Mhm.", "Mm-hmm"),
    "mm": ("Mm.", "Mmm.", "Mmm..."),
    "hm": ("Hmm.", "Hm.", "Hmm..."),
    "uh huh": ("Uh-huh.", "Uh huh.", "Uh-huh"),
}
_ENDS_OF_CUT_TURNS = (".", ".", "...", "...", "", "?", ",")


def cut_off(turns: Sequence[Turn], rng: random.Random) -> list[Turn]:
    """Return the talk up to a turn of the person that breaks off after a hanging word.

    The talk comes back as it is where there is no such place.
    """
    places = [
        (index, count)
        for index, turn in enumerate(turns)
        if turn.role == "user"
        for count, word in enumerate(turn.text.split()[:-1], 1)
        if word.lower() in HANGING and count > 1  # "Why?" alone is a whole turn
    ]
    if not places:
        return list(turns)
    index, count = rng.choice(places)
    cut = replace(turns[index], text=" ".join(turns[index].text.split()[:count]), finished=False)
    return [*turns[:index], cut]


def murmured(talk: Talk, part: float, rng: random.Random) -> Talk:
    """Return `talk` with a murmur after some of the answers.

    It is a user turn that is not finished: a model of such talks stays silent and waits for the next turn.

    Args:
        part: probability of a murmur after each answer that was heard to its end and asks nothing.
    """
    turns: list[Turn] = []
    for turn, after in zip(talk.turns, [*talk.turns[1:], None], strict=True):
        turns.append(turn)
        heard = turn.role == "assistant" and turn.cut_at_word is None and not turn.text.endswith("?")
        if heard and (after is None or after.role == "user") and rng.random() < part:
            turns.append(Turn("user", "speech", rng.choice(MURMURS), finished=False, kind="murmur"))
    return replace(talk, turns=tuple(turns))


def as_recognized(turn: Turn, rng: random.Random) -> Turn:
    """Return a spoken turn of the person as Whisper writes it; any other turn as it is.

    Capitals and marks are mostly as they should be, and there are no hesitations.
    """
    if turn.role != "user" or turn.modality != "speech" or turn.recognized is not None:
        return turn
    if turn.kind == "murmur":
        written = _WRITTEN_MURMURS.get(turn.text, (turn.text.capitalize() + ".",))
        return replace(turn, recognized=rng.choice(written))
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
    return replace(turn, recognized=text)
