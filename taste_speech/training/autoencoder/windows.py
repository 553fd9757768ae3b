"""What the unit decoder sees in training: windows of whole words over utterances, with noise."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import torch
from accelerate.utils import send_to_device
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from taste_speech.audio_tower.encoder import EncodedAudio
from taste_speech.audio_tower.quantizer import ResidualQuantizer
from taste_speech.configuration_base import StrictSection
from taste_speech.training.autoencoder.taste_tokens import EncodedStore
from taste_speech.training.autoencoder.utterances import AlignedUtterance

_LENGTH_NOISE = 0.15
"""Random change of the length by which items are sorted, so that batches differ from pass to pass."""
_pad = partial(pad_sequence, batch_first=True)


class LengthBatches:
    """Batches of indices of items of similar length.

    Args:
        lengths: of each item.
        budget: largest padded size of a batch: number of items times the length of the longest.
    """

    def __init__(self, lengths: Sequence[int], budget: int) -> None:
        self.lengths, self.budget = torch.tensor(lengths, dtype=torch.float32), budget

    def one_pass(self, generator: torch.Generator | None = None) -> list[list[int]]:
        """Return batches of all items: in random order, or sorted by length without a generator."""
        keys = self.lengths
        if generator is not None:
            keys = keys * (1 + _LENGTH_NOISE * torch.rand(len(keys), generator=generator))
        batches: list[list[int]] = [[]]
        longest = 0.0
        for index in keys.argsort().tolist():
            longest = max(longest, float(self.lengths[index]))
            if batches[-1] and longest * (len(batches[-1]) + 1) > self.budget:
                batches.append([])
                longest = float(self.lengths[index])
            batches[-1].append(index)
        if generator is None:
            return batches
        return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]

    def endless(self, generator: torch.Generator) -> Iterator[list[int]]:
        """Yield batches, pass after pass."""
        while True:
            yield from self.one_pass(generator)


@dataclass(frozen=True)
class Windows:
    """A batch of windows of utterances, right-padded. An utterance without encoder states is not heard."""

    encoded: EncodedAudio
    """Encoder states of the whole utterances."""
    token_ids: Tensor  # (batch, tokens) ASR tokens of the whole utterances
    word_ids: Tensor  # (batch, tokens), -1 on padding
    first_token: Tensor  # (batch,) where the window begins
    n_tokens: Tensor  # (batch,) in the window
    unit_ids: Tensor  # (batch, units) of the window
    unit_words: Tensor  # (batch, units) word id that each unit belongs to, -2 on padding
    n_units: Tensor  # (batch,)
    prosody: Tensor  # (batch, tokens, PROSODY_SIZE) of each token's word, standardized
    unit_prosody: Tensor  # (batch, units, PROSODY_SIZE) of each unit's word
    unit_phones: Tensor  # (batch, units) phone that each unit belongs to
    unit_places: Tensor  # (batch, units) position of each unit among the tokens of the utterance
    n_given: Tensor  # (batch,) units at the start that are input only, at a pace of their own
    is_heard: Tensor  # (batch,)
    frame_words: Tensor  # (batch, frames) word at each encoder frame, -2 on padding
    taste_ids: Tensor | None = None
    """(batch, tokens, levels), -1 on padding and where nothing is heard; None until they are final."""

    @property
    def heard_words(self) -> Tensor:
        """`word_ids`, with -1 for all tokens of utterances that are not heard."""
        return self.word_ids.masked_fill(~self.is_heard[:, None], -1)

    def to(self, device: torch.device) -> Self:
        """Return the batch on a device."""
        moved = send_to_device({**vars(self), "encoded": vars(self.encoded)}, device)
        return replace(self, **moved | {"encoded": EncodedAudio(**moved["encoded"])})

    def cut(self, per_token: Tensor) -> Tensor:
        """Cut (batch, tokens, ...) of the utterances to (batch, longest window, ...) of the windows."""
        places = torch.arange(int(self.n_tokens.max()), device=per_token.device)
        index = (self.first_token[:, None] + places).clamp(max=per_token.shape[1] - 1)
        index = index.reshape(*index.shape, *[1] * (per_token.ndim - 2))
        return per_token.gather(1, index.expand(-1, -1, *per_token.shape[2:]))


@dataclass(frozen=True)
class Span:
    """Words [first, last) of an utterance; those before `learned` may be at another pace."""

    first: int
    last: int
    learned: int
    stretch: float = 1.0
    """Duration factor of the words before `learned`."""

    def places(self, ends: Sequence[int]) -> tuple[Tensor, int]:
        """Return the indices of the window's units in the utterance, and how many precede `learned`.

        Args:
            ends: number of units before each word, then of all units.
        """
        begin, middle, end = ends[self.first], ends[self.learned], ends[self.last]
        given = torch.arange(round((middle - begin) * self.stretch)) / self.stretch
        given = (begin + given.long()).clamp(max=max(begin, middle - 1))
        return torch.cat([given, torch.arange(middle, end)]), len(given)


class WindowBatches:
    """Batches of random windows of whole words.

    Args:
        utterances: to draw from.
        encoded: their encoder states.
        budget: most units and tokens in a padded batch.
        whole_part: fraction of the batches that hold whole utterances.
        most_words: in a window that is not a whole utterance.
        device: of the batches.
        strange_pace_part: fraction of the windows whose first words have another pace than the rest.
    """

    def __init__(
        self,
        utterances: Sequence[AlignedUtterance],
        encoded: EncodedStore,
        budget: int,
        whole_part: float,
        most_words: int = 14,
        device: torch.device | str = "cpu",
        strange_pace_part: float = 0.0,
    ) -> None:
        self.take(utterances)
        self.encoded = encoded
        self.whole_part, self.most_words, self.device = whole_part, most_words, torch.device(device)
        self.strange_pace_part = strange_pace_part
        self.batches = LengthBatches([len(u.units) + len(u.token_ids) for u in utterances], budget)

    def take(self, utterances: Sequence[AlignedUtterance]) -> None:
        """Replace the utterances by the same ones with taste tokens."""
        self.utterances = utterances
        known = [item.taste_ids for item in utterances if item.taste_ids is not None]
        self.levels = known[0].shape[1] if known else 0

    def endless(self, generator: torch.Generator) -> Iterator[Windows]:
        """Yield random windows for training."""
        for chosen in self.batches.endless(generator):
            items = [self.utterances[i] for i in chosen]
            # All or none of a batch: a short window beside whole utterances would be mostly padding.
            whole = float(torch.rand((), generator=generator)) < self.whole_part
            yield self.collate(items, [self._draw(item, whole, generator) for item in items])

    def whole(self) -> Iterator[Windows]:
        """Yield all utterances as they are, once."""
        for chosen in self.batches.one_pass():
            items = [self.utterances[i] for i in chosen]
            yield self.collate(items, [Span(0, len(item.word_end_units), 0) for item in items])

    def _draw(self, item: AlignedUtterance, whole: bool, generator: torch.Generator) -> Span:
        def draw(low: int, high: int) -> int:
            return int(torch.randint(low, high, (), generator=generator))

        def chance() -> float:
            return float(torch.rand((), generator=generator))

        count = len(item.word_end_units)
        first, last = 0, count
        if not whole:
            first = draw(0, count)
            # Half of the windows start with the utterance: the delay of a reply depends on its first chunks.
            first = first if chance() < 0.5 else 0
            last = draw(first + 1, min(count, first + self.most_words) + 1)
        if chance() >= self.strange_pace_part:
            return Span(first, last, first)
        return Span(first, last, draw(first, last), stretch=2 ** (1.6 * chance() - 0.8))

    def collate(self, items: Sequence[AlignedUtterance], spans: Sequence[Span]) -> Windows:
        """Return a batch of the spans of the items."""
        word_ids = [torch.tensor(item.word_ids) for item in items]
        word_ends = [torch.tensor(item.word_end_units) for item in items]
        places = [span.places([0, *item.word_end_units]) for item, span in zip(items, spans, strict=True)]
        with_units = [(item, units) for item, (units, _) in zip(items, places, strict=True)]
        unit_words = [
            torch.bucketize(units, ends, right=True)
            for ends, (units, _) in zip(word_ends, places, strict=True)
        ]
        in_window = [
            (words >= span.first) & (words < span.last) for words, span in zip(word_ids, spans, strict=True)
        ]
        keys, values = zip(*(self.encoded.states(item.key) for item in items), strict=True)
        n_frames = torch.tensor([len(each) for each in keys])
        mask = torch.arange(int(n_frames.max())) < n_frames[:, None]
        return Windows(
            encoded=EncodedAudio(_pad(list(keys)), _pad(list(values)), mask),
            token_ids=_pad([torch.tensor(item.token_ids) for item in items]),
            word_ids=_pad(word_ids, padding_value=-1),
            first_token=torch.tensor([int(inside.int().argmax()) for inside in in_window]),
            n_tokens=torch.tensor([int(inside.sum()) for inside in in_window]),
            unit_ids=_pad([item.units[units] for item, units in with_units]),
            unit_words=_pad(unit_words, padding_value=-2),
            n_units=torch.tensor([len(units) for units, _ in places]),
            prosody=_pad([item.prosody[words] for item, words in zip(items, word_ids, strict=True)]),
            unit_prosody=_pad([item.prosody[words] for item, words in zip(items, unit_words, strict=True)]),
            unit_phones=_pad([item.unit_phones[units] for item, units in with_units]),
            unit_places=_pad([item.unit_places[units] for item, units in with_units]),
            n_given=torch.tensor([given for _, given in places]),
            is_heard=torch.tensor([item.key in self.encoded for item in items]),
            frame_words=_pad(
                [
                    # The encoder has as many frames per second as there are units.
                    torch.bucketize(torch.arange(len(each)), ends, right=True).clamp(max=len(ends) - 1)
                    for each, ends in zip(keys, word_ends, strict=True)
                ],
                padding_value=-2,
            ),
            taste_ids=self._taste_ids(items) if self.levels else None,
        ).to(self.device)

    def _taste_ids(self, items: Sequence[AlignedUtterance]) -> Tensor:
        rows = [
            torch.full((len(item.word_ids), self.levels), -1)
            if item.taste_ids is None
            else item.taste_ids[torch.tensor(item.word_ids)]
            for item in items
        ]
        return _pad(rows, padding_value=-1)


def number_words(word_ids: Tensor) -> tuple[Tensor, Tensor]:
    """Number the words of a batch.

    Args:
        word_ids: (batch, tokens), -1 where there is no word.

    Returns:
        (batch, tokens): true at the first token of each word; and for each token the number of its word
        among all words of the batch (of the previous word where there is none).
    """
    before = functional.pad(word_ids, (1, 0), value=-1)[:, :-1]
    starts = (word_ids != before) & (word_ids >= 0)
    return starts, (starts.flatten().long().cumsum(0) - 1).clamp(min=0).view_as(word_ids)


class NoiseSettings(StrictSection):
    """How many of the units that the decoder sees are replaced."""

    replaced_units: tuple[float, float] = (0.8, 0.4)
    """Largest fraction replaced in an item, at the start and at the end of the budget; each item draws its
    own fraction below it. Without noise the decoder relies on the units alone, and its output only
    sounds like speech (compare the dropout in the prenet of Tacotron 2, Shen et al., 2018)."""
    near_part: float = 0.6
    """Fraction of the replacements that are similar in sound; the others are any unit."""
    neighbors: int = 6
    """Number of units that count as similar."""
    strange_pitch_part: float = 0.5
    """Fraction of the items whose units are at random levels of pitch: the past then says nothing about the
    pitch of the next unit, and the decoder must take it from the taste tokens."""


class UnitNoise:
    """Replaces units, so that the decoder recovers from its own mistakes and listens to its condition.

    Args:
        quantizer: tensors of the units, see `UnitQuantizer`: `centroids`, `voiced` and `pitch_edges`.
        settings: amount of noise.
    """

    def __init__(self, quantizer: Mapping[str, Tensor], settings: NoiseSettings) -> None:
        centroids = quantizer["centroids"]
        self.settings, self.count = settings, len(centroids)
        self.pitch_levels = len(quantizer["pitch_edges"]) + 1
        self.n_voiced = len(quantizer["voiced"]) * self.pitch_levels
        distances = torch.cdist(centroids, centroids)
        self.near = distances.topk(settings.neighbors + 1, largest=False).indices[:, 1:]

    def __call__(self, units: Tensor, generator: torch.Generator, progress: float) -> Tensor:
        """Return units (batch, units) with noise; `progress` is the used fraction of the budget.

        `generator` is a CPU generator, whatever the device of the units.
        """
        device, units = units.device, units.cpu()

        def chance(*shape: int) -> Tensor:
            return torch.rand(shape, generator=generator)

        first, last = self.settings.replaced_units
        most = first + (last - first) * progress
        replaced = chance(*units.shape) < most * chance(len(units), 1)
        is_near = chance(*units.shape) < self.settings.near_part
        anything = torch.randint(self.count, units.shape, generator=generator)
        which = torch.randint(self.settings.neighbors, units.shape, generator=generator)
        near = self.near[units].gather(-1, which[..., None])[..., 0]
        heard = torch.where(replaced, torch.where(is_near, near, anything), units)
        strange = chance(len(units), 1) < self.settings.strange_pitch_part
        levels = torch.randint(self.pitch_levels, units.shape, generator=generator)
        at_any_pitch = torch.where(heard < self.n_voiced, heard - heard % self.pitch_levels + levels, heard)
        return torch.where(strange, at_any_pitch, heard).to(device)


@torch.no_grad()
def guess(
    quantizer: ResidualQuantizer,
    taste_ids: Tensor,
    word_ids: Tensor,
    explained: float,
    generator: torch.Generator,
) -> Tensor:
    """Return taste tokens such as a model would guess that explains a fraction of the codes' variance.

    The best guess of a code is the mean of its distribution. With e the explained fraction, c the code, m the
    mean of all and o the code of another word, g = m + e (c - m) + sqrt(e (1 - e)) (o - m) has the variance
    (e) and the squared error (1 - e) of such a guess, relative to the variance of the codes.

    Args:
        taste_ids: (batch, tokens, levels), equal on all tokens of a word.
        word_ids: (batch, tokens).
        explained: from 0 to 1.
        generator: a CPU generator.
    """
    starts, words = number_words(word_ids)
    codes = quantizer.code_from_indices(taste_ids[starts])
    mean = codes.mean(0)
    others = codes[torch.randperm(len(codes), generator=generator).to(codes.device)]
    share = math.sqrt(explained * (1 - explained))
    guessed = mean + explained * (codes - mean) + share * (others - mean)
    return torch.where((word_ids >= 0)[..., None], quantizer.indices_from_code(guessed)[words], taste_ids)
