"""What the assistant says when of what it heard nobody could tell what was asked."""

from collections.abc import Sequence
from dataclasses import replace

from taste_speech.training.corpus.dialogues.turns import Turn

NOT_UNDERSTOOD = (
    "Sorry, I did not understand that. Please say it again.",
    "Sorry, I did not hear that well. Could you say it again?",
    "I am sorry, I did not understand you. Please say that again.",
)


def asked_again(spoken: Turn, answers: Sequence[Turn], draw: float) -> tuple[Turn, ...]:
    """A turn that was not understood, what is said to that, and in half of the talks the question once more.

    Args:
        spoken: as it was recognised; one that is not finished gets no answer.
        answers: what follows when it is understood.
        draw: from 0 up to 1, says how the talk goes on.
    """
    if not spoken.finished:
        return (spoken,)
    number, rest = divmod(draw * len(NOT_UNDERSTOOD), 1)
    turns = (spoken, Turn("assistant", "speech", NOT_UNDERSTOOD[int(number)], kind=spoken.kind))
    return turns if rest < 0.5 else (*turns, replace(spoken, recognised=None), *answers)
