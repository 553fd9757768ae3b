"""Position of taste tokens relative to the text: word starts and delay by words, as pure functions.

Worked example (delay 1): words "the" (token a), "straw-berry" (b0 b1), "ripens" (c) with codes C0 C1 C2.

    position   text           audio        next text   taste target
    0          sos, unfused   -            a           -
    1          a              pad          b0          C0
    2          b0             C0           b1          -
    3          b1             C0           c           C1
    4          c              C1           -           C2
    5          pad text       C2           -           -

The hidden state that predicts the first token of word w also yields the codes of word w - 1; both are input
at the next position.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from taste_speech.audio_tower.quantizer import NO_TASTE


def word_start_codes(
    asr_codes: Tensor,
    asr_word_ids: Tensor,
    asr_lengths: Tensor,
    llm_word_ids: Tensor,
    llm_lengths: Tensor,
) -> Tensor:
    """Return the codes of each word at its first LLM token, and -1 elsewhere.

    Args:
        asr_codes: (B, N, L) codes per ASR token; those of a word's first ASR token count.
        asr_word_ids, llm_word_ids: (B, N) and (B, T), index of the word that a token belongs to.
        asr_lengths, llm_lengths: (B,) valid tokens.

    Returns:
        (B, T, L) int64.
    """
    asr_start = _starts(asr_word_ids, asr_lengths)
    llm_start = _starts(llm_word_ids, llm_lengths)
    match = llm_word_ids.unsqueeze(2) == asr_word_ids.unsqueeze(1)  # (B, T, N)
    match &= llm_start.unsqueeze(2) & asr_start.unsqueeze(1)
    source = match.int().argmax(dim=2)  # (B, T)
    codes = asr_codes.gather(1, source.unsqueeze(2).expand(-1, -1, asr_codes.shape[2]))
    return codes.masked_fill(~match.any(dim=2, keepdim=True), NO_TASTE)


def _starts(word_ids: Tensor, lengths: Tensor) -> Tensor:
    """Mark the first token of each run of equal word ids, within the lengths: (B, T) bool."""
    start = torch.ones_like(word_ids, dtype=torch.bool)
    start[:, 1:] = word_ids[:, 1:] != word_ids[:, :-1]
    return start & (torch.arange(word_ids.shape[1], device=word_ids.device) < lengths.unsqueeze(1))


@dataclass(frozen=True)
class Arrangement:
    """Which word's taste token each row carries, for one utterance of T text tokens and W words.

    Attributes:
        row_words: for each of the T text rows, the word whose taste token is fused; -1: the pad embedding.
        tail_words: the same for the `delay` rows of pad text that follow.
        taste_rows: for each word, the position (0 = the sos row) whose hidden state yields its codes.
    """

    row_words: list[int]
    tail_words: list[int]
    taste_rows: list[int]


def arrange(starts: list[bool], delay: int) -> Arrangement:
    """Arrange text tokens with taste tokens delayed by `delay` words.

    Args:
        starts: for each of the T text tokens, whether it starts a word.

    Raises:
        ValueError: the first token does not start a word.
    """
    if not starts or not starts[0]:
        raise ValueError("the first text token must start a word; give word ids that begin at a word")
    first_rows = [i for i, start in enumerate(starts) if start]
    n_tokens, n_words = len(starts), len(first_rows)
    word, row_words = -1, []
    for start in starts:
        word += start
        row_words.append(max(word - delay, NO_TASTE))
    tail_words = [max(n_words - delay + k, NO_TASTE) for k in range(delay)]
    # Position p is text row p - 1; the row before the one that first carries a word predicts it.
    taste_rows = (first_rows + list(range(n_tokens, n_tokens + delay)))[delay:]
    return Arrangement(row_words, tail_words, taste_rows)


@dataclass(frozen=True)
class Decision:
    """Consequences of a token for the completion.

    Attributes:
        is_text: whether it belongs to the text.
        starts_word: whether it starts a word.
        audio: what to fuse with it: the last taste token ("taste"), the next one of the prompt ("prompt"),
            the same as before ("same"), or the pad embedding ("pad").
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
    """State machine of a plain completion, one token at a time, with the rules of the published sampler.

    Args:
        extra_words: number of words after which the next sentence end closes the completion; three times as
            many words always close it.
        delay: number of words by which taste tokens lag behind.
        has_prefix: whether taste tokens of the prompt are still pending.
        stop_id: text id that ends the completion and is not output.

    Raises:
        ValueError: `extra_words` is below 1.
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
        """Decide on a sampled token; the vocabulary knows whether it starts a word or ends a sentence."""
        waiting, words = self._end, self._words  # as they were before this token
        if words == 0:
            start = True  # the first token starts a word no matter what it is
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
