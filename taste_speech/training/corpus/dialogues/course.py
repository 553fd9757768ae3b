"""What steers a talk beside its questions: control words, manners, and what people tell about themselves."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from taste_speech.training.corpus.dialogues.kinds import Kind, make_kind


def _read(name: str) -> Any:
    return yaml.safe_load((Path(__file__).parent / "course" / f"{name}.yaml").read_text(encoding="utf-8"))


CONTROL: dict[str, Kind] = {
    name: make_kind(name, "control", plain=True, **entry) for name, entry in _read("control").items()
}


@dataclass(frozen=True)
class Manner:
    """A manner of answering: the system sentences that set it, and what it changes."""

    style: str = ""
    system: tuple[str, ...] = ()
    before: str = ""

    def dress(self, text: str) -> str:
        """Return an answer in this manner."""
        return f"{self.before} {text}" if self.before and len(text.split()) <= 12 else text


MANNERS = tuple(Manner(**entry) for entry in _read("manners"))


@dataclass(frozen=True)
class Memory:
    """A thing to remember: how it is told, how it is asked for, and what to say when it was never told."""

    name: str
    tell: Kind
    recall: Kind
    unknown: Kind


def _memory(name: str, values: str, tell: list[str], told: str, ask: list[str], recalled: str) -> Memory:
    about = {"rows": [{"value": value} for value in values.split(", ")], "accept": "{value}"}
    missing = f"You have not told me your {name.replace('_', ' ')} yet."
    return Memory(
        name,
        make_kind(f"tell_{name}", "memory", tell, told, plain=True, **about),
        make_kind(f"recall_{name}", "memory", ask, recalled, split_name=name, **about),
        make_kind(f"unknown_{name}", "memory", ask, missing, accept="not told me", split_name=name),
    )


MEMORIES = tuple(_memory(name, **entry) for name, entry in _read("memories").items())
WORDS: dict[str, list[str]] = _read("words")
"""What people put around a question, and words after which nobody stops for good."""
