"""One model in memory, and the minds of the sessions that share it."""

from collections.abc import Callable, Collection, Generator, Iterable
from dataclasses import dataclass, replace
from typing import Any

from taste_agent.audio.ports import Samples
from taste_agent.config import AgentSettings
from taste_agent.dialog import messages as m
from taste_agent.dialog.brain import Brain, ReplyItem, Sound
from taste_agent.dialog.worker import CostMeter, DialogWorker
from taste_speech.recognition.base import Recognizer


@dataclass(frozen=True, slots=True)
class Tokens:
    """Numbers of text tokens and taste tokens."""

    text: int = 0
    taste: int = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(self.text + other.text, self.taste + other.taste)

    @property
    def total(self) -> int:
        """Number of both kinds together."""
        return self.text + self.taste


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that a reply has read and made. `remembered` is the part of `read` that was read earlier."""

    read: Tokens = Tokens()
    remembered: Tokens = Tokens()
    made: Tokens = Tokens()


@dataclass(frozen=True)
class Memory:
    """Access to the memory of a brain: its segments, oldest first, and the tokens and the side of each."""

    segments: Callable[[], Iterable[Any]]
    tokens: Callable[[Any], Tokens]
    is_answer: Callable[[Any], bool]


class Mind:
    """A `Brain` that counts its tokens and knows which segments belong to which reply."""

    def __init__(self, brain: Brain, memory: Memory) -> None:
        self._brain = brain
        self._memory = memory
        self._new = Tokens()
        self._known = tuple(memory.segments())
        self._exchanges: dict[int, tuple[Any, ...]] = {}
        self.usage = Usage()
        """Tokens of the current or last reply."""

    @property
    def notices(self) -> tuple[str, ...]:
        """Lines that the person should see."""
        return self._brain.notices

    def recognizer(self) -> Recognizer:
        """Return the recognizer of the session."""
        return self._brain.recognizer()

    def tokenize(self, text: str, samples: Samples) -> list[Any]:
        """Return the user segments of speech."""
        return self._brain.tokenize(text, samples)

    def text_segment(self, text: str) -> Any:
        """Return the user segment of typed text."""
        return self._brain.text_segment(text)

    def prefill(self, segments: list[Any]) -> float | None:
        """Read user segments and return the probability that it is the agent's turn, if known."""
        self._new = self._sum(segments)
        return self._brain.prefill(segments)

    def reply(self) -> Generator[ReplyItem, None, None]:
        """Answer what was read."""
        return self._counted(self._brain.reply())

    def go_on(self) -> Generator[ReplyItem, None, None]:
        """Continue the last answer."""
        self._new = Tokens()
        return self._counted(self._brain.go_on())

    def speak(self, item: ReplyItem) -> Sound:
        """Return the sound of an item."""
        return self._brain.speak(item)

    def settle(self, heard_words: int) -> None:
        """Keep the heard words of the answer."""
        self._brain.settle(heard_words)

    def take_back(self) -> None:
        """Undo an answer."""
        self._brain.take_back()

    def discard(self) -> None:
        """Forget the open exchange."""
        self._brain.discard()

    def forget(self, segments: Collection[Any]) -> None:
        """Remove segments from the history."""
        self._brain.forget(segments)

    def note(self, generation: int) -> None:
        """Assign what is new in the history to the reply with this number, which was settled."""
        now = tuple(self._memory.segments())
        old = [s for s in self._exchanges.pop(generation, ()) if _has(now, s)]
        new = [s for s in now if not _has(self._known, s)]
        self._exchanges[generation] = (*old, *new)
        self._exchanges = {g: part for g, part in self._exchanges.items() if any(_has(now, s) for s in part)}
        self._known = now

    def forget_side(self, generation: int, answer: bool) -> None:
        """Forget the answer with this number, or what it answered."""
        part = self._exchanges.get(generation, ())
        self.forget([s for s in part if self._memory.is_answer(s) == answer])
        self._known = tuple(self._memory.segments())

    def _counted(self, items: Generator[ReplyItem, None, None]) -> Generator[ReplyItem, None, None]:
        read = self._sum(self._memory.segments())
        self.usage = Usage(read, Tokens(read.text - self._new.text, read.taste - self._new.taste))
        for item in items:
            made = Tokens(sum(len(word.ids) for word in item.words), len(item.words))
            self.usage = replace(self.usage, made=self.usage.made + made)
            yield item

    def _sum(self, segments: Iterable[Any]) -> Tokens:
        return sum(map(self._memory.tokens, segments), Tokens())


class MindWorker(DialogWorker):
    """A worker that tells its mind when a reply is settled."""

    def __init__(self, mind: Mind, settings: AgentSettings, meter: CostMeter, speaks: bool = True) -> None:
        super().__init__(mind, settings, meter, speaks)
        self._mind = mind

    def execute(self, command: m.Command, behind: bool = False) -> list[m.Result]:
        """Execute a command like `DialogWorker`."""
        results = super().execute(command, behind)
        if isinstance(command, m.Settle) and command.heard_words:
            self._mind.note(command.generation)
        return results


def _has(segments: Iterable[Any], wanted: Any) -> bool:
    return any(segment is wanted for segment in segments)


@dataclass(frozen=True)
class ModelFacts:
    """What clients are told about the model."""

    name: str
    voices: tuple[str, ...] = ()


@dataclass(frozen=True)
class ServedModel:
    """A model that many sessions share. Only one thread may use it at a time."""

    facts: ModelFacts
    make_mind: Callable[[AgentSettings], Mind]


def load_served_model(settings: AgentSettings) -> ServedModel:
    """Load the checkpoint of the settings, with its recognizer and voices.

    Raises:
        TasteError: the checkpoint cannot be loaded.
        AgentError: the device is not available.
    """
    from taste_agent.dialog.loading import load_model
    from taste_agent.dialog.taste_brain import TasteBrain
    from taste_speech.streaming import TASTESegment

    model, processor = load_model(settings.model)

    def count(segment: TASTESegment) -> Tokens:
        taste = len(segment.words) if segment.modality == "audio" else 0
        return Tokens(segment.text_ids.numel(), taste)

    def make_mind(own: AgentSettings) -> Mind:
        brain = TasteBrain(model, processor, own)
        return Mind(brain, Memory(lambda: brain.conversation.segments, count, is_answer))

    def is_answer(segment: TASTESegment) -> bool:
        return segment.role == "assistant"

    facts = ModelFacts(settings.model.checkpoint, tuple(sorted(processor.voices())))
    return ServedModel(facts, make_mind)
