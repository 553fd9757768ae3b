"""Talks written by hand: text files of turns, one talk a paragraph.

A line is `U: ` (the person), `A: ` (the assistant) or, as the first of a talk, `S: ` (the system prompt).
"""

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from taste_speech.errors import TasteError
from taste_speech.spoken_text import spoken_text
from taste_speech.training.corpus.dialogues.turns import Talk, Turn

FOLDER = Path(__file__).parent / "written"
VALID_PERCENT = 3
_ROLES = {"S": "system", "U": "user", "A": "assistant"}


def read_talks(path: Path) -> Iterator[list[Turn]]:
    """Read the talks of one file.

    Raises:
        TasteError: a line that is none of a talk, or a talk whose sides do not take turns.
    """
    for paragraph in path.read_text(encoding="utf-8").split("\n\n"):
        turns: list[Turn] = []
        for line in filter(None, map(str.strip, paragraph.splitlines())):
            letter, _, text = line.partition(": ")
            role = _ROLES.get(letter)
            before = turns[-1].role if turns else ""
            expected = {"": ("system", "user"), "system": ("user",), "user": ("assistant",)}.get(
                before, ("user",)
            )
            if role not in expected or not text.strip():
                raise TasteError(
                    f"{path}: {line!r} is not a line of {' or '.join(expected)}; write 'U: text'"
                )
            modality = "speech" if role == "assistant" else "text"
            turns.append(Turn(role, modality, spoken_text(text)))
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
