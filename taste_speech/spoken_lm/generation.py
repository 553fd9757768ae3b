"""Plain completion of a prompt by the spoken language model, one row per step."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from taste_speech.audio_tower.quantizer import NO_TASTE, ResidualQuantizer
from taste_speech.spoken_lm.language_model import SpokenLM
from taste_speech.spoken_lm.sampling import TextSampling, Vocabulary, sample_text
from taste_speech.spoken_lm.word_delay import WordDelay, arrange

MODES = ("zero", "text", "audio", "instruct")
"""The published modes of conditioning."""


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
