"""When a generated word begins, when its taste token is read, and when a completion ends. Pure decisions."""

from dataclasses import dataclass, field
from enum import Enum


class Action(Enum):
    """What a step of a completion means for the text."""

    CONTINUE_AT_WORD_START = "continue_at_word_start"
    CONTINUE_IN_WORD = "continue_not_at_word_start"
    WAIT_FOR_TASTE = "wait_for_taste"
    TERMINATE = "terminate"


class TasteAction(Enum):
    """What a step of a completion means for the taste tokens."""

    SAMPLE = "sample"
    USE_PREFIX = "use_prefix"
    KEEP_PREFIX = "use_prefix_ignore"
    WAIT = "wait"


@dataclass(frozen=True)
class Decision:
    """Outcome of one step."""

    action: Action
    taste_action: TasteAction
    reads_codes: bool
    """Whether this step's hidden state yields the codes of the word `delay` words back."""


@dataclass
class WordDelay:
    """State machine of a plain completion, fed with one token at a time (the published sampler's rules).

    Args:
        extra_words: after this many words the next sentence end closes the completion; three times as many
            words close it in any case.
        delay: words by which taste tokens lag behind.
        has_prefix: whether taste tokens of the prompt are still pending.
        stop_id: text id that ends the completion and is not output.

    Raises:
        ValueError: `extra_words` below 1.
    """

    extra_words: int
    delay: int = 1
    has_prefix: bool = False
    stop_id: int | None = None
    _words: int = field(default=0, init=False)
    _starts: int = field(default=0, init=False)
    _end: bool = field(default=False, init=False)
    _countdown: int | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.extra_words < 1:
            raise ValueError(f"extra_words is {self.extra_words}; give 1 or more")

    def step(self, token_id: int, starts_word: bool, ends_sentence: bool) -> Decision:
        """Decide on a sampled token. The other two are the vocabulary's facts about it."""
        waiting = self._end  # as it was before this token
        if self._starts == 0:
            start = True  # the first token begins a word whatever its text
        elif waiting:
            self._countdown = (self.delay if self._countdown is None else self._countdown) - 1
            start = True
        else:
            start = starts_word or token_id == self.stop_id
        self._starts += start
        if (self._words >= self.extra_words and ends_sentence) or self._words >= 3 * self.extra_words:
            self._end = True
        if token_id == self.stop_id and not waiting:
            self._end = waiting = True
            self._countdown = self.delay - 1
        self._words += start
        return Decision(self._action(start, waiting), self._taste_action(start), self._reads(start))

    def _action(self, start: bool, waiting: bool) -> Action:
        if self._countdown == 0:
            return Action.TERMINATE
        if waiting:
            return Action.WAIT_FOR_TASTE
        return Action.CONTINUE_AT_WORD_START if start else Action.CONTINUE_IN_WORD

    def _reads(self, start: bool) -> bool:
        return start and self._starts > self.delay

    def _taste_action(self, start: bool) -> TasteAction:
        if self._starts > self.delay:
            return TasteAction.SAMPLE
        if self.has_prefix:
            return TasteAction.USE_PREFIX if start else TasteAction.KEEP_PREFIX
        return TasteAction.WAIT
