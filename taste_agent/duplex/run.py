"""Runs an agent on the items of a folder, writes what it says beside them, and sums up."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory

import soundfile

from taste_agent.clock import seconds_of_samples
from taste_agent.config import AgentSettings
from taste_agent.dialog.brain import Brain
from taste_agent.duplex import measures
from taste_agent.duplex.items import CLEAN_INPUT, CLEAN_OUTPUT, INPUT, OUTPUT, Item, Task, write_words
from taste_agent.duplex.turn_ends import Silence
from taste_agent.events import Event, RunAheadReady
from taste_agent.replay import run_replay
from taste_agent.session.transcript import TranscriptWord
from taste_speech.sound_file import SoundFile


@dataclass(frozen=True)
class Measured:
    """What happened in one item.

    Attributes:
        item: which.
        took_over: whether the agent took a turn, after the interruption where there is one.
        latency_s: from the end of the person's turn to the reply; None where that is not measured.
        stops_s: how long both spoke at once.
        responses_s: from ends of the person's speech to the agent's next start.
        silence: the pause, or that after the turn, with what the model thought of it; None in other tasks.
    """

    item: Item
    took_over: bool
    latency_s: float | None
    stops_s: list[float]
    responses_s: list[float]
    silence: Silence | None


@dataclass(frozen=True)
class Spoken:
    """When each side speaks, the agent's words, and what the model thought when."""

    person: list[measures.Interval]
    agent: list[measures.Interval]
    words: list[TranscriptWord]
    thoughts: list[tuple[float, float]]
    """Seconds at which the model had read a turn so far, and its probability of speaking then."""


@dataclass(frozen=True)
class Summary:
    """Figures of a task: take-over rate, mean latency of the turns taken, medians of the other two."""

    task: Task
    count: int
    take_over_rate: float
    latency_s: float | None
    stop_s: float | None
    response_s: float | None


def run_items(
    items: Sequence[Item], settings: AgentSettings, load_brain: Callable[[AgentSettings], Brain]
) -> Iterator[Measured]:
    """Run the agent on each item with one model, and yield what was measured.

    `output.wav`, as long as the input, and `output.json` go beside it; of an input without overlap so do
    `clean_output.wav` and `clean_output.json`. What the agent says after the input has ended is left out, as
    in a recording of both sides that ends with the person's.

    Raises:
        AudioError: an input cannot be read; AgentError: a folder cannot be written.
    """
    brain = load_brain(settings)
    for item in items:
        if (item.folder / CLEAN_INPUT).is_file():
            clean = _speak(item.folder / CLEAN_INPUT, item.folder / CLEAN_OUTPUT, settings, brain)
            write_words(item.folder / f"{CLEAN_OUTPUT}.json", clean.words)
        spoken = _speak(item.folder / INPUT, item.folder / OUTPUT, settings, brain)
        counted = spoken.words
        if item.task is Task.INTERRUPTION and item.window_s is not None:
            counted = measures.after(counted, item.window_s[1])
        write_words(item.folder / f"{OUTPUT}.json", counted)
        yield _measured(item, spoken, counted)


def summarize(measured: Sequence[Measured]) -> list[Summary]:
    """Return the figures of each task that there is, in the order of `Task`."""
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


def _speak(source: Path, target: Path, settings: AgentSettings, brain: Brain) -> Spoken:
    """Run the agent on one input; writes the agent's side."""
    sound = SoundFile(source)
    thoughts: list[tuple[float, float]] = []

    def note(event: Event) -> None:
        if isinstance(event, RunAheadReady) and event.speaking_probability is not None:
            thoughts.append((seconds_of_samples(event.at), event.speaking_probability))

    with TemporaryDirectory() as folder:
        result = run_replay(sound, settings, Path(folder) / "out", lambda _: brain, note)
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
    return Spoken(person, measures.spans(side, rate), heard, thoughts)


def _measured(item: Item, spoken: Spoken, counted: list[TranscriptWord]) -> Measured:
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
        _silence(item, spoken.thoughts),
    )


def _silence(item: Item, thoughts: list[tuple[float, float]]) -> Silence | None:
    if item.window_s is None or item.task not in (Task.PAUSE, Task.TURN):
        return None
    start_s, end_s = item.window_s
    duration_s = end_s - start_s if item.task is Task.PAUSE else None
    inside = (p for at_s, p in thoughts if at_s > start_s and (duration_s is None or at_s <= end_s))
    return Silence(duration_s, next(inside, None))
