"""How well a spoken LM answers: greedy replies to prompts of unseen talks, against the accepted patterns."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from taste_speech.audio_tower.quantizer import ResidualQuantizer
from taste_speech.spoken_lm.language_model import SpokenLM
from taste_speech.streaming.layout import NONE, rows
from taste_speech.training.corpus.dialogues.talks import Talk, Turn
from taste_speech.training.dialogue_loss import embed_rows
from taste_speech.training.dialogue_rows import TalkEncoder

MAX_REPLY_TOKENS = 100


@dataclass(frozen=True)
class Answer:
    """A model's reaction to a talk that ends with a user turn."""

    turn: Turn
    speaks: bool
    text: str

    @property
    def is_right(self) -> bool:
        """Whether it answered as it should, or kept silent after an unfinished turn."""
        if not self.turn.finished:
            return not self.speaks
        return self.speaks and self.turn.accepts(self.text)


def prompts(talks: Sequence[Talk]) -> list[Talk]:
    """Each talk up to each user turn that is answered, or that is not finished."""
    return [
        replace(talk, turns=talk.turns[: index + 1])
        for talk in talks
        for index, turn in enumerate(talk.turns)
        if turn.role == "user"
    ]


@torch.no_grad()
def answer(
    lm: SpokenLM, quantizer: ResidualQuantizer, encoder: TalkEncoder, prompt: Talk, seed: int = 0
) -> Answer:
    """Greedy reply; its own taste tokens are fed back at word starts."""
    fmt, rng = encoder.fmt, random.Random(seed)
    roles = fmt.role_ids or {}
    device = lm.pad_audio_unit_embed.device
    laid = rows([encoder.segment(turn, rng) for turn in prompt.turns], fmt)
    text_ids = torch.cat([laid.text_ids, torch.tensor(fmt.reply_opening)])[None]
    sources = torch.cat([laid.taste_source, torch.full((len(fmt.reply_opening),), NONE)])[None]
    cache = lm.new_cache()
    inputs = embed_rows(lm, quantizer, text_ids.to(device), sources.to(device), laid.tastes.to(device))
    _, logits = lm(inputs, cache, last_only=True)
    speaks = bool(logits[0, -1, roles["assistant"]] > logits[0, -1, roles["user"]])
    if not speaks:
        return Answer(prompt.turns[-1], False, "")
    pad = lm.pad_audio_unit_embed[None, None]
    taste, ids = pad, [roles["assistant"]]
    hidden = None
    while len(ids) <= MAX_REPLY_TOKENS and ids[-1] != fmt.segment_end_id:
        if hidden is not None and len(ids) > 2 and _starts_word(encoder, ids[-1]):
            taste = quantizer.output_from_indices(quantizer.indices_from_code(lm.read_taste(hidden)))
        row = lm.fuse(lm.embed_text(torch.tensor([[ids[-1]]], device=device)), taste)
        hidden, logits = lm(row, cache)
        ids.append(int(logits[0, -1].argmax()))
    text = encoder.tokenizer.decode(ids[1:], skip_special_tokens=True).strip()
    return Answer(prompt.turns[-1], True, text)


def _starts_word(encoder: TalkEncoder, token: int) -> bool:
    return encoder.tokenizer.decode([token]).startswith(" ")


def rates(answers: Sequence[Answer]) -> dict[str, float]:
    """Share of finished turns answered at all and answered right, and of unfinished ones left alone."""
    finished = [a for a in answers if a.turn.finished]
    unfinished = [a for a in answers if not a.turn.finished]
    return {
        "answered": sum(a.speaks for a in finished) / max(1, len(finished)),
        "right": sum(a.is_right for a in finished) / max(1, len(finished)),
        "silent": sum(a.is_right for a in unfinished) / max(1, len(unfinished)),
    }
