"""The phones of a recording and their times, as the voice is told them."""

import torch
from torch import Tensor

from taste_speech.training.corpus.audio_store import Clip
from taste_speech.vocoder.phones import PAUSE, PHONES, mark_of

_ROUNDED_S = 1e-3
"""Times of a clip may be rounded by this much."""


def marked_phones_of(clip: Clip) -> tuple[list[int], list[int]]:
    """Return the marked phone and the word of each phone; pauses have word -1 and the mark of that before."""
    ends, marks = clip.timing.word_ends, [mark_of(word) for word in clip.text.split()]
    marked, words, word, mark = [], [], 0, 0
    for phone, end in clip.timing.phones:
        if phone != PAUSE:
            while word < len(ends) - 1 and end > ends[word] + _ROUNDED_S:
                word += 1
            mark = marks[word]
        marked.append(mark * len(PHONES) + PHONES.index(phone))
        words.append(-1 if phone == PAUSE else word)
    return marked, words


def marked_phones_at(clip: Clip, count: int, units_per_second: int) -> Tensor:
    """Return the marked phone at each unit of a clip, (count,)."""
    marked, _ = marked_phones_of(clip)
    phone_ends = torch.tensor([end for _, end in clip.timing.phones]) * units_per_second
    at = torch.searchsorted(phone_ends, torch.arange(count) + 0.5)
    return torch.tensor(marked)[at.clamp(max=len(marked) - 1)]
