"""One talk and its turns."""

import re
from dataclasses import dataclass

from taste_speech.training.corpus.dialogues.grammar import as_heard


@dataclass(frozen=True)
class Turn:
    """What one side says, or the instruction that opens a talk."""

    role: str
    """`system`, `user` or `assistant`."""
    modality: str
    """`speech` or `text`."""
    text: str
    finished: bool = True
    """False for a user turn cut off at a hesitation: the answer is to say nothing yet."""
    kind: str = ""
    accepted_pattern: str = ""
    """Regular expression for `as_heard(answer)`; on a user turn and on the answer to it."""
    cut_at_word: int | None = None
    """Number of words of an assistant turn that were heard before the user broke in."""
    manner: str = ""
    """How an assistant turn is to sound: `slow`, `fast` or plain."""
    given_cut: bool = False
    """Whether this user turn broke into the assistant turn before it."""
    goes_on: bool = False
    """Whether this is the rest of the unfinished user turn before it."""
    recognized: str | None = None
    """What a recognizer wrote of a spoken user turn; None: what was said."""

    def accepts(self, answer: str) -> bool:
        """Return whether an answer matches the accepted pattern."""
        return re.search(self.accepted_pattern, as_heard(answer)) is not None


@dataclass(frozen=True)
class Talk:
    """One conversation."""

    id: str
    split: str
    turns: tuple[Turn, ...]
