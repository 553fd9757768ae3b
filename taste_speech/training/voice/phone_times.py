"""The phones of a recording and their times, as the voice is told them."""

import torch
from torch import Tensor

from taste_speech.training.corpus.audio_store import Clip
from taste_speech.vocoder.phones import PAUSE, PHONES, marked_phones, pause_after
from taste_speech.words import pronounced_words


def marked_phones_of(clip: Clip) -> tuple[list[int], list[int]]:
    """Return the marked phone and the word of each phone; pauses have word -1 and the mark of that before.

    Raises:
        ValueError: the clip's phones are not those of its text.
    """
    said = [
        (word, marked)
        for word, pronounced in enumerate(pronounced_words(clip.text.split()))
        for marked in marked_phones(pronounced)
    ]
    names = [phone for phone, _ in clip.timing.phones]
    if [PHONES[marked % len(PHONES)] for _, marked in said] != [name for name in names if name != PAUSE]:
        raise ValueError(
            f"clip {clip.id} does not say {clip.text!r} as it is pronounced today; record it again"
        )
    found, pause, coming = list[tuple[int, int]](), 0, iter(said)
    for name in names:
        if name == PAUSE:
            found.append((-1, pause))
        else:
            found.append(next(coming))
            pause = pause_after(found[-1][1])
    return [marked for _, marked in found], [word for word, _ in found]


def marked_phones_at(clip: Clip, count: int, units_per_second: int) -> Tensor:
    """Return the marked phone at each unit of a clip, (count,)."""
    marked, _ = marked_phones_of(clip)
    phone_ends = torch.tensor([end for _, end in clip.timing.phones]) * units_per_second
    at = torch.searchsorted(phone_ends, torch.arange(count) + 0.5)
    return torch.tensor(marked)[at.clamp(max=len(marked) - 1)]
