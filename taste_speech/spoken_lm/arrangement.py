"""Where taste tokens sit relative to the text: word starts, delay by words, fill forward; pure functions.

Worked example (delay 1): words "the" (token a), "straw-berry" (b0 b1), "ripens" (c) with codes C0 C1 C2.

    position   text           audio        next text   taste target
    0          sos, unfused   -            a           -
    1          a              pad          b0          C0
    2          b0             C0           b1          -
    3          b1             C0           c           C1
    4          c              C1           -           C2
    5          pad text       C2           -           -

The hidden state that predicts the first token of word w also yields the codes of word w - 1; both enter
together at the next position.
"""

from dataclasses import dataclass

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
    """Return the codes of each word at its first LLM token, -1 elsewhere.

    Args:
        asr_codes: (B, N, L) codes per ASR token; a word's are read at its first ASR token.
        asr_word_ids, llm_word_ids: (B, N) and (B, T), the word that a token belongs to.
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
    """(B, T) bool: the first token of each run of equal word ids, within the lengths."""
    start = torch.ones_like(word_ids, dtype=torch.bool)
    start[:, 1:] = word_ids[:, 1:] != word_ids[:, :-1]
    return start & (torch.arange(word_ids.shape[1], device=word_ids.device) < lengths.unsqueeze(1))


@dataclass(frozen=True)
class Arrangement:
    """Which word's taste token each row carries, for one utterance of T text tokens and W words."""

    row_words: list[int]
    """Word whose taste token is fused at each of the T text rows; -1: the pad audio embedding."""
    tail_words: list[int]
    """The same for the `delay` rows of pad text that follow."""
    taste_rows: list[int]
    """For each word, the position (0 = the sos row) whose hidden state yields its codes."""


def arrange(starts: list[bool], delay: int) -> Arrangement:
    """Arrange T text tokens, of which `starts` begin a word, with taste tokens delayed by `delay` words.

    Raises:
        ValueError: the first token does not start a word.
    """
    if not starts or not starts[0]:
        raise ValueError("the first text token must start a word; give word ids that begin at a word")
    word, token_words = -1, []
    for start in starts:
        word += start
        token_words.append(word)
    n_words = word + 1
    row_words = [max(w - delay, NO_TASTE) for w in token_words]
    tail_words = [max(n_words - delay + k, NO_TASTE) for k in range(delay)]
    first_rows = [i for i, start in enumerate(starts) if start]
    # Position p is text row p - 1; the row before the one that first carries a word predicts it.
    n_tokens = len(starts)
    taste_rows = [
        first_rows[w + delay] if w + delay < n_words else n_tokens + (w + delay - n_words)
        for w in range(n_words)
    ]
    return Arrangement(row_words, tail_words, taste_rows)
