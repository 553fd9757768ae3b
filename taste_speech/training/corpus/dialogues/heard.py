"""What happens to spoken turns: people break off and murmur, and a recognizer transcribes them."""

import random
import re
from collections.abc import Sequence
from dataclasses import replace

from taste_speech.training.corpus.dialogues.grammar import WORDS
from taste_speech.training.corpus.dialogues.turns import Talk, Turn

HANGING = frozenset(WORDS["hanging"].split())
MURMURS, ASSENTS = tuple(WORDS["murmurs"]), tuple(WORDS["assents"])
_HESITATION = re.compile(r",? ?\b(?:um|uh)\b,?", re.IGNORECASE)


def cut_off(turns: Sequence[Turn], rng: random.Random) -> list[Turn]:
    """Return the talk up to a turn of the person that breaks off after a hanging word.

    A talk without such a place is returned as it is.
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
    """Return `talk` with a murmur after some of the answers, as a user turn that is not finished.

    A model that learns such talks stays silent and waits for the next turn.

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
        written = WORDS["written_murmurs"].get(turn.text, (turn.text.capitalize() + ".",))
        return replace(turn, recognized=rng.choice(written))
    text = " ".join(_HESITATION.sub("", turn.text).split()) or turn.text
    if not turn.finished:
        text = text.rstrip(".,?!") + rng.choice(WORDS["ends_of_cut_turns"])
    draw = rng.random()
    if draw < 0.08:
        text = re.sub(r"[.,?!]", "", text).lower()
    elif draw < 0.2:
        text = text.replace(",", "")
    elif draw < 0.28:
        text = text.rstrip("?!.") + "."
    return replace(turn, recognized=text)
