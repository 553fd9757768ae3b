"""When a generated word begins, when its taste token is read, and when a completion ends. Pure decisions."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Decision:
    """What a token means for the completion.

    Attributes:
        is_text: whether it belongs to the text.
        starts_word: whether a word begins with it.
        audio: what is fused with it: the taste token that was read last ("taste"), the next one of the
            prompt ("prompt"), the same as before ("same"), or the pad embedding ("pad").
        reads_codes: whether this step's hidden state yields the codes of the word `delay` words back.
        ends: whether the completion is over.
    """

    is_text: bool
    starts_word: bool
    audio: Literal["taste", "prompt", "same", "pad"]
    reads_codes: bool
    ends: bool


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
    _end: bool = field(default=False, init=False)
    _countdown: int | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.extra_words < 1:
            raise ValueError(f"extra_words is {self.extra_words}; give 1 or more")

    def step(self, token_id: int, starts_word: bool, ends_sentence: bool) -> Decision:
        """Decide on a sampled token. The other two are the vocabulary's facts about it."""
        waiting, words = self._end, self._words  # as they were before this token
        if words == 0:
            start = True  # the first token begins a word whatever its text
        elif waiting:
            self._countdown = (self.delay if self._countdown is None else self._countdown) - 1
            start = True
        else:
            start = starts_word or token_id == self.stop_id
        self._words += start
        if (words >= self.extra_words and ends_sentence) or words >= 3 * self.extra_words:
            self._end = True
        if token_id == self.stop_id and not waiting:
            self._end = waiting = True
            self._countdown = self.delay - 1
        ends, delayed = self._countdown == 0, self._words > self.delay
        return Decision(not (ends or waiting), start, self._audio(start, delayed), start and delayed, ends)

    def _audio(self, start: bool, delayed: bool) -> Literal["taste", "prompt", "same", "pad"]:
        if delayed:
            return "taste"
        if self.has_prefix:
            return "prompt" if start else "same"
        return "pad"
