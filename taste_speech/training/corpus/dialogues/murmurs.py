"""What listeners murmur while somebody else speaks ("mhm", "yeah"): it wants no answer.

A recogniser that does not know these words hears others in them, and then the agent stops talking.
"""

import random
from dataclasses import replace

from taste_speech.training.corpus.dialogues.talks import Talk
from taste_speech.training.corpus.dialogues.turns import Turn

MURMURS = ("mhm", "mm", "hm", "uh huh", "aha", "ah", "oh", "wow")
"""That say no more than "I am listening"."""
ASSENTS = ("yeah", "yep", "yes", "okay", "right", "sure")
"""That mean the same while the agent speaks, and are an answer when it has asked something."""


def murmured(talk: Talk, part: float, rng: random.Random) -> Talk:
    """`talk` with a murmur after some of the answers.

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
