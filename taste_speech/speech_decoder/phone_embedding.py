"""Vectors of marked phones and of units (`taste_speech.phones`)."""

import torch
from torch import Tensor, nn

from taste_speech.phones import (
    MARK_COUNT,
    MARKED_PHONES,
    PHONES,
    PITCHES,
    STRESS_COUNT,
    VOICED,
    begins_word,
)


def is_voiced(marked: Tensor) -> Tensor:
    """Return whether marked phones, or units, (...) have a pitch."""
    known = torch.tensor([phone in VOICED for phone in PHONES], device=marked.device)
    return known[marked % len(PHONES)]


class PhoneEmbedding(nn.Module):
    """Vectors of marked phones: sums of vectors of the phone, its mark, its stress and its place in the word.

    Args:
        pitched: whether it reads units, which also have a level of pitch.
    """

    def __init__(self, size: int, pitched: bool = False) -> None:
        super().__init__()
        self.phones = nn.Embedding(len(PHONES), size)
        self.marks = nn.Embedding(MARK_COUNT, size)
        self.stresses = nn.Embedding(STRESS_COUNT, size)
        self.begins_word = nn.Parameter(torch.zeros(size))
        nn.init.zeros_(self.stresses.weight)
        if pitched:
            self.pitches = nn.Embedding(PITCHES + 1, size)
            nn.init.zeros_(self.pitches.weight)
        self.pitched = pitched

    def forward(self, ids: Tensor) -> Tensor:
        """(...) -> (..., size)."""
        marks, stresses = ids // len(PHONES), ids // (len(PHONES) * MARK_COUNT)
        begins = begins_word(ids).unsqueeze(-1) * self.begins_word
        phones = self.phones(ids % len(PHONES)) + self.marks(marks % MARK_COUNT)
        found = phones + self.stresses(stresses % STRESS_COUNT) + begins
        return found + self.pitches(ids // MARKED_PHONES) if self.pitched else found
