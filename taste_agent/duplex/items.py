"""The layout of Full-Duplex-Bench: folders with `input.wav` and a note of what happens in it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from taste_agent.errors import AgentError
from taste_agent.session.transcript import TranscriptWord

INPUT, CLEAN_INPUT = "input.wav", "clean_input.wav"
OUTPUT, CLEAN_OUTPUT = "output", "clean_output"


class Task(StrEnum):
    """What an item is about; the values are the names that the benchmark gives them."""

    PAUSE = "pause_handling"
    TURN = "smooth_turn_taking"
    INTERRUPTION = "user_interruption"
    OVERLAP = "overlap"
    """v1.5: somebody speaks while the agent does; there is the same input without that."""
    OTHER = "other"


_NOTES = {"pause.json": Task.PAUSE, "turn_taking.json": Task.TURN, "interrupt.json": Task.INTERRUPTION}


@dataclass(frozen=True)
class Item:
    """One recording.

    Attributes:
        folder: where it is.
        task: what it is about.
        window_s: of the pause, of the next speaker's first word, of the interruption, or of the overlap;
            None where nothing is told.
    """

    folder: Path
    task: Task
    window_s: tuple[float, float] | None = None


def find_items(folder: Path) -> list[Item]:
    """All items below a folder, in the order of their paths.

    Raises:
        AgentError: there are none, or a note cannot be read.
    """
    found = [_item(path.parent) for path in sorted(folder.rglob(INPUT))]
    if not found:
        raise AgentError(
            f"{folder} holds no {INPUT}; give a folder in the layout of Full-Duplex-Bench (ID/{INPUT} with "
            f"{', '.join(_NOTES)} or metadata.json)"
        )
    return found


def _item(folder: Path) -> Item:
    for name, task in _NOTES.items():
        if (folder / name).is_file():
            return Item(folder, task, _window(folder / name))
    if (folder / "metadata.json").is_file():
        return Item(folder, Task.OVERLAP, _window(folder / "metadata.json"))
    return Item(folder, Task.OTHER)


def _window(path: Path) -> tuple[float, float]:
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
        start, end = data["timestamps"] if isinstance(data, dict) else data[0]["timestamp"]
        return float(start), float(end)
    except (ValueError, TypeError, KeyError, IndexError, OSError) as error:
        raise AgentError(
            f"{path} does not tell when it happens ({type(error).__name__}); expected, in seconds, "
            '[{"timestamp": [start, end]}], or {"timestamps": [start, end]} in metadata.json'
        ) from error


def write_words(path: Path, words: Sequence[TranscriptWord]) -> None:
    """Write word times as the benchmark's recognizer does."""
    chunks = [{"text": word.text.strip(), "timestamp": [word.start_s, word.end_s]} for word in words]
    text = " ".join(word.text.strip() for word in words)
    path.write_text(json.dumps({"text": text, "chunks": chunks}, indent=4), encoding="utf-8")
