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
    """Text tokens and taste tokens."""

    text: int = 0
    taste: int = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(self.text + other.text, self.taste + other.taste)

    @property
    def total(self) -> int:
        """Both."""
        return self.text + self.taste


@dataclass(frozen=True, slots=True)
class Usage:
    """What a reply has read and made; of `read`, `remembered` was read before."""

    read: Tokens = Tokens()
    remembered: Tokens = Tokens()
    made: Tokens = Tokens()


@dataclass(frozen=True)
class Memory:
    """How what a brain remembers is read: its segments, oldest first, and of each its tokens and its side."""

    segments: Callable[[], Iterable[Any]]
    tokens: Callable[[Any], Tokens]
    is_answer: Callable[[Any], bool]


class Mind:
    """A `Brain` that counts its tokens, and knows which segments belong to which reply."""

    def __init__(self, brain: Brain, memory: Memory) -> None:
        self._brain = brain
        self._memory = memory
        self._new = Tokens()
        self._known = tuple(memory.segments())
        self._exchanges: dict[int, tuple[Any, ...]] = {}
        self.usage = Usage()
        """Of the reply that is made, or was made last."""

    @property
    def notices(self) -> tuple[str, ...]:
        """What the person should know."""
        return self._brain.notices

    def recognizer(self) -> Recognizer:
        """The recognizer, one for the whole session."""
        return self._brain.recognizer()

    def tokenize(self, text: str, samples: Samples) -> list[Any]:
        """User segments of speech."""
        return self._brain.tokenize(text, samples)

    def text_segment(self, text: str) -> Any:
        """A user segment that was typed."""
        return self._brain.text_segment(text)

    def prefill(self, segments: list[Any]) -> float | None:
        """Reads user segments."""
        self._new = self._sum(segments)
        return self._brain.prefill(segments)

    def reply(self) -> Generator[ReplyItem, None, None]:
        """Answers what was read."""
        return self._counted(self._brain.reply())

    def go_on(self) -> Generator[ReplyItem, None, None]:
        """Goes on with the last answer."""
        self._new = Tokens()
        return self._counted(self._brain.go_on())

    def speak(self, item: ReplyItem) -> Sound:
        """The sound of an item."""
        return self._brain.speak(item)

    def settle(self, heard_words: int) -> None:
        """Keeps the heard words."""
        self._brain.settle(heard_words)

    def take_back(self) -> None:
        """Undo an answer."""
        self._brain.take_back()

    def discard(self) -> None:
        """Forgets the open exchange."""
        self._brain.discard()

    def forget(self, segments: Collection[Any]) -> None:
        """Takes segments out of the history."""
        self._brain.forget(segments)

    def note(self, generation: int) -> None:
        """The reply with this number was settled: what is new in the history belongs to it."""
        now = tuple(self._memory.segments())
        old = [s for s in self._exchanges.pop(generation, ()) if _has(now, s)]
        new = [s for s in now if not _has(self._known, s)]
        self._exchanges[generation] = (*old, *new)
        self._exchanges = {g: part for g, part in self._exchanges.items() if any(_has(now, s) for s in part)}
        self._known = now

    def forget_side(self, generation: int, answer: bool) -> None:
        """Forgets what was answered by the reply with this number, or the answer."""
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
    """A worker that tells its mind which reply was settled."""

    def __init__(self, mind: Mind, settings: AgentSettings, meter: CostMeter, speaks: bool = True) -> None:
        super().__init__(mind, settings, meter, speaks)
        self._mind = mind

    def execute(self, command: m.Command, behind: bool = False) -> list[m.Result]:
        """As `DialogWorker.execute`."""
        results = super().execute(command, behind)
        if isinstance(command, m.Settle) and command.heard_words:
            self._mind.note(command.generation)
        return results


def _has(segments: Iterable[Any], wanted: Any) -> bool:
    return any(segment is wanted for segment in segments)


@dataclass(frozen=True)
class ModelFacts:
    """What clients are told of the model."""

    name: str
    voices: tuple[str, ...] = ()


@dataclass(frozen=True)
class ServedModel:
    """A model that any number of sessions share; all of it is used by one thread at a time."""

    facts: ModelFacts
    make_mind: Callable[[AgentSettings], Mind]


def load_served_model(settings: AgentSettings) -> ServedModel:
    """Load the checkpoint of the settings, with its recognizer and voices.

    Raises:
        TasteError: it cannot be loaded.
        AgentError: the device is not there.
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
