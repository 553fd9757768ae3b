"""Taste tokens as a language model guesses them: nearer to their mean, and in part those of other words."""

import math

import torch
from torch import Tensor

from taste_speech.audio_tower.quantizer import ResidualQuantizer
from taste_speech.training.unit_windows import number_words


@torch.no_grad()
def guess(
    quantizer: ResidualQuantizer,
    taste_ids: Tensor,
    word_ids: Tensor,
    explained: float,
    generator: torch.Generator,
) -> Tensor:
    """Taste tokens of a guess that explains so much of the codes' variance.

    The best guess of a code is the mean of what it may be: g = m + e (c - m) + sqrt(e (1 - e)) (o - m), with
    o another word's code, has the variance e and the error 1 - e of such a guess, in the codes' variance.

    Args:
        taste_ids: (batch, tokens, levels), alike on all tokens of a word.
        word_ids: (batch, tokens).
        explained: e, from 0 to 1.
        generator: of the CPU.
    """
    starts, words = number_words(word_ids)
    codes = quantizer.code_from_indices(taste_ids[starts])
    mean = codes.mean(0)
    others = codes[torch.randperm(len(codes), generator=generator).to(codes.device)]
    share = math.sqrt(explained * (1 - explained))
    guessed = mean + explained * (codes - mean) + share * (others - mean)
    return torch.where((word_ids >= 0)[..., None], quantizer.indices_from_code(guessed)[words], taste_ids)
