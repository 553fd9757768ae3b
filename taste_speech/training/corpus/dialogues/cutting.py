"""Turns of the person that break off where everybody hears that more is to come."""

import random
from collections.abc import Sequence
from dataclasses import replace

from taste_speech.training.corpus.dialogues.turns import Turn
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
