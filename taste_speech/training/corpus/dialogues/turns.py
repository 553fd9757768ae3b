"""Talks and their turns: those written by hand, and what people and a recognizer do to spoken turns.

Talks written by hand are paragraphs of text files. Each line begins with `U: ` (the person), `A: ` (the
assistant) or, only at the start of a talk, `S: ` (the system prompt).
"""

import hashlib
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from taste_speech.errors import TasteError
from taste_speech.spoken_text import spoken_text
from taste_speech.training.corpus.dialogues.kinds import FOLDER, WORDS

VALID_PERCENT = 3
HANGING = frozenset(WORDS["hanging"].split())
"""Words after which more must follow."""
_ROLES = {"S": "system", "U": "user", "A": "assistant"}
_NEXT_ROLES = {"": ("system", "user"), "system": ("user",), "user": ("assistant",), "assistant": ("user",)}
_HESITATION = re.compile(r",? ?\b(?:um|uh)\b,?", re.IGNORECASE)


@dataclass(frozen=True)
class Turn:
    """What one side says, or the system prompt that opens a talk."""

    role: str
    """`system`, `user` or `assistant`."""
    modality: str
    """`speech` or `text`."""
    text: str
    finished: bool = True
    """False for a user turn that breaks off; the right answer is to say nothing yet."""
    kind: str = ""
    accepted_pattern: str = ""
    """Regular expression for `as_heard(answer)`; on a user turn and on the answer to it."""
    cut_at_word: int | None = None
    """Number of words of an assistant turn that were heard before the user interrupted."""
    manner: str = ""
    """How an assistant turn should sound: `slow`, `fast` or empty for plain."""
    goes_on: bool = False
    """Whether this is the rest of the unfinished user turn before it."""
    recognized: str | None = None
    """What a recognizer wrote for a spoken user turn; None if it is `text`."""
    tastes: tuple[tuple[int, ...], ...] | None = None
    """A taste token for each recognized word; None: those of other recordings."""


@dataclass(frozen=True)
class Talk:
    """One conversation."""

    id: str
    split: str
    turns: tuple[Turn, ...]


def read_talks(path: Path) -> Iterator[list[Turn]]:
    """Read the talks of one file.

    Raises:
        TasteError: a line does not belong to a talk, or the sides of a talk do not take turns.
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
def written_talks() -> tuple[Talk, ...]:
    """Return all talks written by hand; a hash of what the person says first decides the split."""
    talks = []
    for path in sorted((FOLDER / "written").rglob("*.txt")):
        for number, turns in enumerate(read_talks(path)):
            asked = next(turn.text for turn in turns if turn.role == "user")
            draw = int.from_bytes(hashlib.sha256(asked.lower().encode()).digest()[:4], "little") % 100
            split = "valid" if draw < VALID_PERCENT else "train"
            talks.append(Talk(f"written-{path.parent.name}-{path.stem}-{number:03d}", split, tuple(turns)))
    return tuple(talks)


def cut_off(turns: Sequence[Turn], rng: random.Random) -> list[Turn]:
    """Return the talk up to a user turn that breaks off after a hanging word, if there is any such word."""
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
    """Return `talk` with a murmur, as an unfinished user turn, after some of the answers.

    A model that learns such talks stays silent and waits for the next turn.

    Args:
        part: probability of a murmur after each answer that was heard to its end and asks nothing.
    """
    turns: list[Turn] = []
    for turn, after in zip(talk.turns, [*talk.turns[1:], None], strict=True):
        turns.append(turn)
        heard = turn.role == "assistant" and turn.cut_at_word is None and not turn.text.endswith("?")
        if heard and (after is None or after.role == "user") and rng.random() < part:
            turns.append(Turn("user", "speech", rng.choice(WORDS["murmurs"]), finished=False, kind="murmur"))
    return replace(talk, turns=tuple(turns))


def as_recognized(turn: Turn, rng: random.Random) -> Turn:
    """Return a spoken user turn as Whisper writes it, and any other turn unchanged.

    Capitals and punctuation are mostly right, and hesitations are left out.
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
