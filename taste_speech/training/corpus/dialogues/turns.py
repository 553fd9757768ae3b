"""Talks and their turns, and talks written by hand: text files of turns, one talk a paragraph.

A line is `U: ` (the person), `A: ` (the assistant) or, as the first of a talk, `S: ` (the system prompt).
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from taste_speech.errors import TasteError
from taste_speech.spoken_text import spoken_text
from taste_speech.training.corpus.dialogues.grammar import as_heard

FOLDER = Path(__file__).parent / "written"
VALID_PERCENT = 3
_ROLES = {"S": "system", "U": "user", "A": "assistant"}
_NEXT_ROLES = {"": ("system", "user"), "system": ("user",), "user": ("assistant",), "assistant": ("user",)}


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


def read_talks(path: Path) -> Iterator[list[Turn]]:
    """Read the talks of one file.

    Raises:
        TasteError: a line that does not belong to a talk, or a talk whose sides do not take turns.
    """
    for paragraph in path.read_text(encoding="utf-8").split("\n\n"):
        turns: list[Turn] = []
        for line in filter(None, map(str.strip, paragraph.splitlines())):
            letter, _, text = line.partition(": ")
            role = _ROLES.get(letter)
            expected = _NEXT_ROLES[turns[-1].role if turns else ""]
            if role not in expected or not text.strip():
                raise TasteError(
                    f"{path}: {line!r} is not a line of {' or '.join(expected)}; write 'U: text'"
                )
            turns.append(Turn(role, "speech" if role == "assistant" else "text", spoken_text(text)))
        if turns:
            yield turns


@cache
def written_talks(folder: Path = FOLDER) -> tuple[Talk, ...]:
    """Return all talks below `folder`; a hash of what the person says first gives the split."""
    talks = []
    for path in sorted(folder.rglob("*.txt")):
        for number, turns in enumerate(read_talks(path)):
            asked = next(turn.text for turn in turns if turn.role == "user")
            draw = int.from_bytes(hashlib.sha256(asked.lower().encode()).digest()[:4], "little") % 100
            split = "valid" if draw < VALID_PERCENT else "train"
            talks.append(Talk(f"written-{path.stem}-{number:03d}", split, tuple(turns)))
    return tuple(talks)
