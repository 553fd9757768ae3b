"""What the unit decoder sees in training: units and taste tokens that are not all what they were."""

import math
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from taste_speech.audio_tower.quantizer import ResidualQuantizer
from taste_speech.training.autoencoder.windows import number_words


class NoiseSettings(Protocol):
    """How much is changed; see the settings of stage `autoencoder`."""

    replaced_units: tuple[float, float]
    near_part: float
    neighbors: int
    strange_pitch_part: float


class UnitNoise:
    """Replaces units, so that the decoder learns to go on after its own mistakes and to heed its condition.

    Args:
        quantizer: tensors of the units: `centroids` (units, features), `voiced` (spectra, cepstra) and
            `pitch_edges` (levels - 1,); unit v * levels + level is voiced spectrum v at that level.
    """

    def __init__(self, quantizer: Mapping[str, Tensor], settings: NoiseSettings) -> None:
        centroids = quantizer["centroids"]
        self.settings, self.count = settings, len(centroids)
        self.pitch_levels = len(quantizer["pitch_edges"]) + 1
        self.n_voiced = len(quantizer["voiced"]) * self.pitch_levels
        self.near = (
            torch.cdist(centroids, centroids).topk(settings.neighbors + 1, largest=False).indices[:, 1:]
        )

    def __call__(self, units: Tensor, generator: torch.Generator, progress: float) -> Tensor:
        """(batch, units) -> the same with some replaced; `progress` is the used part of the budget.

        `generator` is one of the CPU, where the draws are made.
        """
        device, units = units.device, units.cpu()
        first, last = self.settings.replaced_units
        most = first + (last - first) * progress
        replaced = torch.rand(units.shape, generator=generator) < most * torch.rand(
            len(units), 1, generator=generator
        )
        is_near = torch.rand(units.shape, generator=generator) < self.settings.near_part
        anything = torch.randint(self.count, units.shape, generator=generator)
        which = torch.randint(self.settings.neighbors, units.shape, generator=generator)
        near = self.near[units].gather(-1, which[..., None])[..., 0]
        heard = torch.where(replaced, torch.where(is_near, near, anything), units)
        strange = torch.rand(len(units), 1, generator=generator) < self.settings.strange_pitch_part
        return torch.where(strange, self._at_any_pitch(heard, generator), heard).to(device)

    def _at_any_pitch(self, units: Tensor, generator: torch.Generator) -> Tensor:
        """The same spectra, voiced ones at levels of pitch drawn one by one."""
        levels = torch.randint(self.pitch_levels, units.shape, generator=generator)
        drawn = units - units % self.pitch_levels + levels
        return torch.where(units < self.n_voiced, drawn, units)


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
