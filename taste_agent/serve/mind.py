"""One model in memory, and the minds of the sessions that share it."""

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, replace
from typing import Any

from taste_agent.audio.ports import Samples
from taste_agent.config import AgentSettings
from taste_agent.dialog.brain import Brain, ReplyItem, Sound
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


CountTokens = Callable[[Any], Tokens]
"""Tokens of a segment, in the model's own form."""


class Mind:
    """A `Brain` that counts its tokens; `history` gives the segments that it remembers."""

    def __init__(self, brain: Brain, count: CountTokens, history: Callable[[], Iterable[Any]]) -> None:
        self._brain = brain
        self._count = count
        self._history = history
        self._new = Tokens()
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

    def discard(self) -> None:
        """Forgets the open exchange."""
        self._brain.discard()

    def _counted(self, items: Generator[ReplyItem, None, None]) -> Generator[ReplyItem, None, None]:
        read = self._sum(self._history())
        self.usage = Usage(read, Tokens(read.text - self._new.text, read.taste - self._new.taste))
        for item in items:
            made = Tokens(sum(len(word.ids) for word in item.words), len(item.words))
            self.usage = replace(self.usage, made=self.usage.made + made)
            yield item

    def _sum(self, segments: Iterable[Any]) -> Tokens:
        return sum(map(self._count, segments), Tokens())


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
        return Mind(brain, count, lambda: brain.conversation.segments)

    facts = ModelFacts(settings.model.checkpoint, tuple(sorted(processor.voices())))
    return ServedModel(facts, make_mind)
