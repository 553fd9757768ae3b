"""What the unit decoder says when nobody holds its hand, told without vocoder or recognizer.

Teacher-forced loss hardly falls while speech becomes intelligible. So unseen utterances are spoken freely,
each unit is read as the phone that it mostly stands for in training, and the phones are compared with the
true ones; the same reading of the true units is the floor.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from taste_speech.training.autoencoder.model import TasteAutoencoder
from taste_speech.training.autoencoder.utterances import AlignedUtterance
from taste_speech.training.corpus import PHONES

_SHORTEST_PHONE = 2  # units


class FreeSpeech:
    """Phone errors of freely spoken utterances.

    Args:
        train: tell which phone a unit stands for.
        unseen: utterances to speak; the first `count` are.
    """

    def __init__(
        self, train: Sequence[AlignedUtterance], unseen: Sequence[AlignedUtterance], count: int
    ) -> None:
        units = torch.cat([item.units for item in train])
        phones = torch.cat([item.unit_phones for item in train])
        counts = np.zeros((int(units.max()) + 1, len(PHONES)), int)
        np.add.at(counts, (units.numpy(), phones.numpy()), 1)
        self.meaning = counts.argmax(1)
        self.unseen = list(unseen)[:count]

    def read(self, units: Tensor) -> list[int]:
        """Phones that units (units,) stand for, short runs and pauses left out."""
        known = self.meaning[units.clamp(max=len(self.meaning) - 1).numpy()]
        changes = np.flatnonzero(np.diff(known, prepend=-1, append=-1))
        runs = zip(known[changes[:-1]], np.diff(changes), strict=True)
        phones = [int(phone) for phone, length in runs if phone and length >= _SHORTEST_PHONE]
        return [phone for i, phone in enumerate(phones) if not i or phone != phones[i - 1]]

    @torch.no_grad()
    def phone_errors(self, model: TasteAutoencoder, speaker: Tensor) -> dict[str, float]:
        """Share of wrong phones: of the true units, and of speech from text alone and from taste tokens.

        `speaker` (1, speaker width) is on the device of `model`.
        """
        ways: dict[str, int] = defaultdict(int)
        total = 0
        for item in self.unseen:
            wanted = [int(phone) for phone in torch.unique_consecutive(item.unit_phones) if phone]
            total += len(wanted)
            ids = torch.tensor([item.token_ids], device=speaker.device)
            silence = torch.zeros(*ids.shape, model.tower.config.d_model, device=speaker.device)
            audio = {"text": silence}
            if item.taste_ids is not None:
                rows = item.taste_ids[torch.tensor(item.word_ids)].to(speaker.device)
                audio["taste"] = model.tower.quantizer.output_from_indices(rows[None])
            ways["true"] += edit_distance(wanted, self.read(item.units))
            for way, vectors in audio.items():
                generator = torch.Generator().manual_seed(0)
                units = model.decoder.generate(speaker, ids, vectors, generator=generator)
                ways[way] += edit_distance(wanted, self.read(units[0].long().cpu()))
        return {f"{way}_phone_errors": wrong / max(1, total) for way, wrong in ways.items()}


def edit_distance(reference: Sequence[object], hypothesis: Sequence[object]) -> int:
    """Return the fewest substitutions, insertions and deletions that turn one sequence into the other."""
    row = list(range(len(hypothesis) + 1))
    for i, expected in enumerate(reference, 1):
        diagonal, row[0] = row[0], i
        for j, given in enumerate(hypothesis, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (expected != given))
    return row[-1]
