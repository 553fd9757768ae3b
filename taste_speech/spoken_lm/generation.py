"""Plain completion: where taste tokens are relative to the text, when it ends, and one row per step.

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

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from taste_speech.audio_tower.quantizer import NO_TASTE, ResidualQuantizer
from taste_speech.spoken_lm.language_model import SpokenLM
from taste_speech.spoken_lm.sampling import TextSampling, Vocabulary, sample_text

MODES = ("zero", "text", "audio", "instruct")
"""The published modes of conditioning."""


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


@dataclass(frozen=True)
class Prompt:
    """Start of a completion.

    Attributes:
        rows: (1, S, hidden) input rows.
        seen_ids: ids that the repetition penalty covers from the start.
        pending: audio embeddings (1, 1, width) of prompt words that the delay holds back.
    """

    rows: Tensor
    seen_ids: tuple[int, ...]
    pending: tuple[Tensor, ...] = ()


@dataclass
class Completion:
    """Tokens of a completion.

    Attributes:
        text_ids: LLM ids.
        word_ids: index of the word that each id belongs to.
        codes: one row of L codes per step since the first word was complete; -1 where no word begins.
    """

    text_ids: list[int] = field(default_factory=list)
    word_ids: list[int] = field(default_factory=list)
    codes: list[list[int]] = field(default_factory=list)

    def append(self, token: int, starts_word: bool) -> None:
        """Append a text token; the first one always starts a word."""
        self.word_ids.append(self.word_ids[-1] + starts_word if self.word_ids else 0)
        self.text_ids.append(token)

    @property
    def word_codes(self) -> list[list[int]]:
        """The codes of each word, in order."""
        return [row for row in self.codes if row[0] != NO_TASTE]


def arrange_rows(
    lm: SpokenLM, quantizer: ResidualQuantizer, text_ids: Tensor, codes: Tensor, delay: int
) -> tuple[Tensor, Tensor]:
    """Arrange the input rows of an utterance whose words have taste tokens.

    Args:
        text_ids: (1, T) LLM ids.
        codes: (1, T, L), valid where a word starts, else -1.

    Returns:
        (1, T + delay + 1, hidden) rows: sos, text, tail; and (delay, 1, 1, width), the tail's audio.
    """
    arrangement = arrange((codes[0, :, 0] != NO_TASTE).tolist(), delay)
    words = codes[:, codes[0, :, 0] != NO_TASTE]  # (1, W, L)
    pad = lm.pad_audio_unit_embed.float()[None, None]
    audio = torch.cat([pad, quantizer.output_from_indices(words)], dim=1)  # row 0 is the pad
    source = torch.tensor(arrangement.row_words + arrangement.tail_words, device=audio.device) + 1
    text = torch.cat([lm.embed_text(text_ids), lm.pad_text_unit_embed.expand(1, delay, -1)], dim=1)
    rows = torch.cat([lm.sos_row().to(lm.dtype), lm.fuse(text, audio[:, source])], dim=1)
    return rows, audio[:, source[-delay:]].transpose(0, 1).unsqueeze(1)


def make_prompt(
    lm: SpokenLM,
    quantizer: ResidualQuantizer,
    mode: str,
    delay: int,
    text_ids: Tensor | None,
    codes: Tensor | None,
    prefix_ids: Sequence[int] = (),
    suffix_ids: Sequence[int] = (),
) -> Prompt:
    """Make the prompt of one of the published modes: zero, text, audio, instruct.

    Args:
        text_ids: (1, T) LLM ids; not for zero.
        codes: (1, T, L) from `extract_vq`; for audio and instruct.
        prefix_ids, suffix_ids: text around the utterance, for instruct.

    Raises:
        ValueError: the mode is unknown, or text or audio that it needs is missing.
    """
    if mode not in MODES:
        raise ValueError(f"unknown conditional_mode {mode!r}; choose zero, text, audio or instruct")
    if mode == "zero":
        return Prompt(lm.sos_row(), (lm.sos_id,))
    if text_ids is None or text_ids.shape[1] == 0:
        raise ValueError(f"conditional_mode {mode!r} needs llm_token_ids of at least one token; got none")
    ids = tuple(text_ids[0].tolist())
    if mode == "text":
        return Prompt(lm.embed_text(text_ids), ids)
    if codes is None:
        raise ValueError(f"conditional_mode {mode!r} needs audio features and ASR tokens; got text only")
    rows, tail = arrange_rows(lm, quantizer, text_ids, codes, delay)
    rows = rows[:, : rows.shape[1] - delay]
    if mode == "audio":
        return Prompt(rows, ids, tuple(tail))
    before, after = (
        lm.embed_text(torch.tensor([list(side)], dtype=torch.long, device=rows.device))
        for side in (prefix_ids, suffix_ids)
    )
    # The published mode excludes the first id from the penalty.
    return Prompt(torch.cat([before, rows[:, 1:], after], dim=1), (*prefix_ids, *ids, *suffix_ids)[1:])


@torch.inference_mode()
def complete(
    lm: SpokenLM,
    quantizer: ResidualQuantizer,
    prompt: Prompt,
    vocabulary: Vocabulary,
    machine: WordDelay,
    sampling: TextSampling,
    *,
    generator: torch.Generator | None = None,
    use_cache: bool = True,
) -> Completion:
    """Continue `prompt` until `machine` ends the completion.

    Special tokens are never drawn, except for the machine's stop id. `use_cache=False` runs all rows at every
    step, as a reference for tests.
    """
    allowed = () if machine.stop_id is None else (machine.stop_id,)
    banned = vocabulary.banned_but(*allowed).to(prompt.rows.device)
    seen, pending = set(prompt.seen_ids), list(prompt.pending)
    audio = pad = lm.pad_audio_unit_embed.float()[None, None]
    cache = lm.new_cache() if use_cache else None
    rows, result = prompt.rows, Completion()
    while True:
        hidden, logits = lm(rows, cache, last_only=True)
        seen_ids = torch.tensor(sorted(seen), device=logits.device)
        token = sample_text(logits[0, -1], banned, seen_ids, sampling, generator)
        decision = machine.step(token, vocabulary.starts[token], vocabulary.ends[token])
        seen.add(token)
        if decision.is_text:
            result.append(token, decision.starts_word)
        match decision.audio:
            case "taste":
                codes = torch.full((1, 1, quantizer.num_quantizers), NO_TASTE, device=logits.device)
                if decision.reads_codes:
                    codes = quantizer.indices_from_code(lm.read_taste(hidden))
                    audio = quantizer.output_from_indices(codes)
                result.codes.append(codes[0, 0].tolist())
            case "prompt":
                audio = pending.pop(0)
            case "pad":
                audio = pad
        if decision.ends:
            return result
        row = lm.fuse(lm.embed_text(torch.tensor([[token]], device=logits.device)), audio)
        rows = row if use_cache else torch.cat([rows, row], dim=1)
