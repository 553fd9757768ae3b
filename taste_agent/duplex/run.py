"""Run an agent on recordings in the layout of Full-Duplex-Bench, and sum up how it takes turns.

An item is a folder with `input.wav` and a note that tells when something happens in it. The agent's side is
written beside them.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory
from typing import Any

import soundfile

from taste_agent.clock import seconds_of_samples
from taste_agent.config import AgentSettings
from taste_agent.dialog.brain import Brain
from taste_agent.duplex import measures
from taste_agent.errors import AgentError
from taste_agent.events import Event, RunAheadReady, TurnEnded
from taste_agent.replay import run_replay
from taste_agent.session.transcript import TranscriptWord
from taste_speech.sound_file import SoundFile

_INPUT, _CLEAN_INPUT = "input.wav", "clean_input.wav"
_OUTPUT, _CLEAN_OUTPUT = "output", "clean_output"


class Task(StrEnum):
    """The subject of an item; the values are the benchmark's names."""

    PAUSE = "pause_handling"
    TURN = "smooth_turn_taking"
    INTERRUPTION = "user_interruption"
    OVERLAP = "overlap"
    """Version 1.5: somebody speaks over the agent; `clean_input.wav` is the same input without that."""
    OTHER = "other"


_NOTES = {
    "pause.json": Task.PAUSE,
    "turn_taking.json": Task.TURN,
    "interrupt.json": Task.INTERRUPTION,
    "metadata.json": Task.OVERLAP,
}


@dataclass(frozen=True)
class Item:
    """One recording.

    `window_s` is the time of the pause, of the next speaker's first word, of the interruption or of the
    overlap; None without a note.
    """

    folder: Path
    task: Task
    window_s: tuple[float, float] | None = None


@dataclass(frozen=True)
class Measured:
    """Figures of one item; None where a figure does not apply to its task."""

    item: Item
    took_over: bool
    """Whether the agent took a turn; after the interruption, if there is one."""
    latency_s: float | None
    """From the end of the person's turn to the reply."""
    stops_s: list[float]
    """Durations for which both spoke at once."""
    responses_s: list[float]
    """From the end of the person's speech to the agent's next start."""
    silence: measures.Silence | None
    """The pause, or the silence after the turn, and what the agent made of it."""


@dataclass(frozen=True)
class Summary:
    """Figures of a task: take-over rate, mean latency of the turns taken, medians of the other two."""

    task: Task
    count: int
    take_over_rate: float
    latency_s: float | None
    stop_s: float | None
    response_s: float | None


@dataclass(frozen=True)
class _Talk:
    """When each side speaks, the agent's words, and what it thought and decided about the end of a turn."""

    person: list[measures.Interval]
    agent: list[measures.Interval]
    words: list[TranscriptWord]
    thoughts: list[tuple[float, float | None]]
    """Second, and probability that the turn is over."""
    decisions: list[float]


def find_items(folder: Path) -> list[Item]:
    """Return all items below a folder, sorted by path.

    Raises:
        AgentError: there are none, or a note cannot be read.
    """
    found = [_item(path.parent) for path in sorted(folder.rglob(_INPUT))]
    if not found:
        *names, last = _NOTES
        raise AgentError(
            f"{folder} holds no {_INPUT}; give a folder in the layout of Full-Duplex-Bench (ID/{_INPUT} with "
            f"{', '.join(names)} or {last})"
        )
    return found


def _item(folder: Path) -> Item:
    for name, task in _NOTES.items():
        if (folder / name).is_file():
            return Item(folder, task, _window(folder / name))
    return Item(folder, Task.OTHER)


def _window(path: Path) -> tuple[float, float]:
    try:
        note: Any = json.loads(path.read_text(encoding="utf-8"))
        start, end = note["timestamps"] if isinstance(note, dict) else note[0]["timestamp"]
        return float(start), float(end)
    except (ValueError, TypeError, KeyError, IndexError, OSError) as error:
        raise AgentError(
            f"{path} does not tell when it happens ({type(error).__name__}); expected, in seconds, "
            '[{"timestamp": [start, end]}], or {"timestamps": [start, end]} in metadata.json'
        ) from error


def write_words(path: Path, words: Sequence[TranscriptWord]) -> None:
    """Write the times of words as the benchmark's recognizer does."""
    chunks = [{"text": word.text.strip(), "timestamp": [word.start_s, word.end_s]} for word in words]
    text = " ".join(word.text.strip() for word in words)
    path.write_text(json.dumps({"text": text, "chunks": chunks}, indent=4), encoding="utf-8")


def run_items(
    items: Sequence[Item], settings: AgentSettings, begin_talk: Callable[[AgentSettings], Brain]
) -> Iterator[Measured]:
    """Run the agent on each item, a talk of its own whose model `begin_talk` returns, and yield its figures.

    Writes `output.wav`, as long as the input, and `output.json` beside the input, and `clean_output.wav` and
    `clean_output.json` for a `clean_input.wav`. Leaves out what the agent says after the end of the input.

    Raises:
        AudioError: an input cannot be read.
        AgentError: a folder cannot be written.
    """
    for item in items:
        if (item.folder / _CLEAN_INPUT).is_file():
            clean = _speak(item.folder / _CLEAN_INPUT, item.folder / _CLEAN_OUTPUT, settings, begin_talk)
            write_words(item.folder / f"{_CLEAN_OUTPUT}.json", clean.words)
        spoken = _speak(item.folder / _INPUT, item.folder / _OUTPUT, settings, begin_talk)
        counted = spoken.words
        if item.task is Task.INTERRUPTION and item.window_s is not None:
            counted = measures.after(counted, item.window_s[1])
        write_words(item.folder / f"{_OUTPUT}.json", counted)
        yield _measured(item, spoken, counted)


def summarize(measured: Sequence[Measured]) -> list[Summary]:
    """Return the figures of each task that has items, in the order of `Task`."""
    found = []
    for task in Task:
        own = [one for one in measured if one.item.task is task]
        if own:
            latencies = [one.latency_s for one in own if one.latency_s is not None]
            stops = [stop for one in own for stop in one.stops_s]
            responses = [response for one in own for response in one.responses_s]
            found.append(
                Summary(
                    task,
                    len(own),
                    mean(one.took_over for one in own),
                    mean(latencies) if latencies else None,
                    median(stops) if stops else None,
                    median(responses) if responses else None,
                )
            )
    return found


def _speak(
    source: Path, target: Path, settings: AgentSettings, begin_talk: Callable[[AgentSettings], Brain]
) -> _Talk:
    """Run the agent on one input and write its side as a WAV file."""
    sound = SoundFile(source)
    thoughts: list[tuple[float, float | None]] = []
    decisions: list[float] = []

    def note(event: Event) -> None:
        if isinstance(event, RunAheadReady):
            thoughts.append((seconds_of_samples(event.at), event.over_probability))
        elif isinstance(event, TurnEnded):
            decisions.append(seconds_of_samples(event.at))

    with TemporaryDirectory() as folder:
        result = run_replay(sound, settings, Path(folder) / "out", begin_talk, note)
        reply, rate = soundfile.read(result.out / "reply.wav", dtype="int16")
    side = reply[: round(sound.duration_s * rate)]
    soundfile.write(target.with_suffix(".wav"), side, rate)
    turns = result.transcript.turns
    person = [(turn.start_s, turn.end_s) for turn in turns if turn.role == "user" and turn.words]
    said = [word for turn in turns if turn.role == "assistant" for word in turn.words]
    heard = [
        TranscriptWord(word.text, word.start_s, min(word.end_s, sound.duration_s))
        for word in sorted(said, key=lambda word: word.start_s)
        if word.start_s < sound.duration_s
    ]
    person = measures.merged(person, measures.PERSON_GAP_S)
    return _Talk(person, measures.spans(side, rate), heard, thoughts, decisions)


def _measured(item: Item, spoken: _Talk, counted: list[TranscriptWord]) -> Measured:
    ends = {Task.TURN: 0, Task.INTERRUPTION: 1}
    latency = None
    if item.window_s is not None and item.task in ends:
        latency = measures.latency_s(counted, item.window_s[ends[item.task]])
    return Measured(
        item,
        measures.takes_over(counted),
        latency,
        measures.stops_s(spoken.person, spoken.agent),
        measures.responses_s(spoken.person, spoken.agent),
        _silence(item, spoken),
    )


def _silence(item: Item, spoken: _Talk) -> measures.Silence | None:
    if item.window_s is None or item.task not in (Task.PAUSE, Task.TURN):
        return None
    start_s, end_s = item.window_s
    until_s = end_s if item.task is Task.PAUSE else math.inf
    inside = ((at_s, p) for at_s, p in spoken.thoughts if start_s < at_s <= until_s)
    at_s, probability = next(inside, (start_s, None))
    decided = next((at_s - start_s for at_s in spoken.decisions if start_s < at_s <= until_s), None)
    duration_s = end_s - start_s if item.task is Task.PAUSE else None
    return measures.Silence(duration_s, probability, at_s - start_s, decided)
