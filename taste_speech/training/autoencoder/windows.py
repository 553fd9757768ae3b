"""Windows of whole words over utterances of the reply voice, as stage 1 takes them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from accelerate.utils import send_to_device
from torch import Tensor

from taste_speech.audio_tower.encoder import EncodedAudio
from taste_speech.training.autoencoder.batching import LengthBatches, pad_ids
from taste_speech.training.autoencoder.encoded_store import EncodedStore
from taste_speech.training.autoencoder.utterances import AlignedUtterance


@dataclass(frozen=True)
class Windows:
    """A batch of windows of utterances, right-padded.

    Attributes:
        encoded: of the whole utterances.
        token_ids, word_ids: (batch, tokens) ASR tokens of the whole utterances, word id -1 on padding.
        first_token, n_tokens: (batch,) the window's part of the tokens.
        unit_ids: (batch, units) of the window.
        unit_words: (batch, units) word id that each unit belongs to.
        n_units: (batch,).
        prosody: (batch, tokens, PROSODY_SIZE) what each token's word sounds like, standardized.
        unit_prosody: (batch, units, PROSODY_SIZE) of the word that each unit belongs to.
        unit_phones: (batch, units) phone that each unit belongs to.
        unit_places: (batch, units) where among the tokens of the utterance each unit is said.
        n_given: (batch,) units at the start that are not to be learned: they have a pace of their own.
        is_heard: (batch,) whether the utterance is encoded; of the others only the text is known.
        frame_words: (batch, frames) word that is said at each encoder frame, -2 on padding.
        taste_ids: (batch, tokens, levels) of the utterances, -1 on padding and of those that are not heard;
            None: not final yet.
    """

    encoded: EncodedAudio
    token_ids: Tensor
    word_ids: Tensor
    first_token: Tensor
    n_tokens: Tensor
    unit_ids: Tensor
    unit_words: Tensor
    n_units: Tensor
    prosody: Tensor
    unit_prosody: Tensor
    unit_phones: Tensor
    unit_places: Tensor
    n_given: Tensor
    is_heard: Tensor
    frame_words: Tensor
    taste_ids: Tensor | None = None

    @property
    def heard_words(self) -> Tensor:
        """`word_ids`, -1 also where the utterance is not heard."""
        return self.word_ids.masked_fill(~self.is_heard[:, None], -1)

    def to(self, device: torch.device) -> Self:
        """The same on a device."""
        moved = send_to_device({**vars(self), "encoded": vars(self.encoded)}, device)
        return replace(self, **moved | {"encoded": EncodedAudio(**moved["encoded"])})

    def cut(self, per_token: Tensor) -> Tensor:
        """(batch, tokens, ...) of the utterances -> (batch, longest window, ...) of the windows."""
        places = torch.arange(int(self.n_tokens.max()), device=per_token.device)
        index = (self.first_token[:, None] + places).clamp(max=per_token.shape[1] - 1)
        index = index.reshape(*index.shape, *[1] * (per_token.ndim - 2))
        return per_token.gather(1, index.expand(-1, -1, *per_token.shape[2:]))


@dataclass(frozen=True)
class Span:
    """Words [first, last) of an utterance, of which those before `learned` may be said at another pace."""

    first: int
    last: int
    learned: int
    stretch: float = 1.0
    """Times as many units for the words before `learned`."""

    def places(self, ends: Sequence[int]) -> tuple[Tensor, int]:
        """Which units of the utterance the window has, and how many of them are before `learned`.

        Args:
            ends: units before each word, and all.
        """
        begin, middle, end = ends[self.first], ends[self.learned], ends[self.last]
        given = torch.arange(round((middle - begin) * self.stretch)) / self.stretch
        given = (begin + given.long()).clamp(max=max(begin, middle - 1))
        return torch.cat([given, torch.arange(middle, end)]), len(given)


class WindowBatches:
    """Batches of random windows of whole words.

    Args:
        utterances: what to draw from; the same ones with taste tokens may take their place.
        encoded: their encoder states.
        budget: most units in a padded batch.
        whole_part: fraction of the batches that are whole utterances.
        most_words: in a window that is not a whole utterance.
        device: of the batches.
        strange_pace_part: fraction of the random windows whose first words have another pace than the rest.
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
        """Take the same utterances with taste tokens in the place of those without."""
        self.utterances = utterances
        known = [item.taste_ids for item in utterances if item.taste_ids is not None]
        self.has_taste = bool(known)
        self.levels = known[0].shape[1] if known else 0

    def endless(self, generator: torch.Generator) -> Iterator[Windows]:
        """Random windows for training."""
        for chosen in self.batches.endless(generator):
            items = [self.utterances[i] for i in chosen]
            # A batch is of one sort: a window beside whole utterances would be mostly padding.
            whole = float(torch.rand((), generator=generator)) < self.whole_part
            spans = [self._draw(item, whole, generator) for item in items]
            yield self.collate(items, spans)

    def whole(self) -> Iterator[tuple[list[AlignedUtterance], Windows]]:
        """All utterances as they are, once."""
        for chosen in self.batches.one_pass():
            items = [self.utterances[i] for i in chosen]
            yield items, self.collate(items, [Span(0, len(item.word_end_units), 0) for item in items])

    def _draw(self, item: AlignedUtterance, whole: bool, generator: torch.Generator) -> Span:
        """The words of a window, and which of them are said at another pace."""

        def draw(low: int, high: int) -> int:
            return int(torch.randint(low, high, (), generator=generator))

        def chance() -> float:
            return float(torch.rand((), generator=generator))

        count = len(item.word_end_units)
        first, last = 0, count
        if not whole:
            first = draw(0, count)
            # Half of the windows begin the utterance: the first chunks of a reply are the ones one waits for.
            first = first if chance() < 0.5 else 0
            last = draw(first + 1, min(count, first + self.most_words) + 1)
        if chance() >= self.strange_pace_part:
            return Span(first, last, first)
        return Span(first, last, draw(first, last), stretch=2 ** (1.6 * chance() - 0.8))

    def collate(self, items: Sequence[AlignedUtterance], spans: Sequence[Span]) -> Windows:
        """Windows over the spans of the items."""
        units, words, first_tokens, n_tokens, phones, places, n_given = [], [], [], [], [], [], []
        for item, span in zip(items, spans, strict=True):
            ends = [0, *item.word_end_units]
            chosen, given = span.places(ends)
            units.append(item.units[chosen])
            phones.append(item.unit_phones[chosen])
            places.append(item.unit_places[chosen])
            words.append(torch.bucketize(chosen, torch.tensor(item.word_end_units), right=True))
            first_tokens.append(item.word_ids.index(span.first))
            n_tokens.append(sum(span.first <= word < span.last for word in item.word_ids))
            n_given.append(given)
        states = [self.encoded.states(item.key) for item in items]
        pad = torch.nn.utils.rnn.pad_sequence
        n_frames = torch.tensor([len(keys) for keys, _ in states])
        mask = torch.arange(int(n_frames.max())) < n_frames[:, None]
        keys, values = (pad([pair[k] for pair in states], batch_first=True) for k in (0, 1))
        return Windows(
            EncodedAudio(keys, values, mask),
            pad_ids([item.token_ids for item in items], 0),
            pad_ids([item.word_ids for item in items], -1),
            torch.tensor(first_tokens),
            torch.tensor(n_tokens),
            pad(units, batch_first=True),
            pad(words, batch_first=True, padding_value=-2),
            torch.tensor([len(u) for u in units]),
            pad([item.prosody[torch.tensor(item.word_ids)] for item in items], batch_first=True),
            pad([item.prosody[of] for item, of in zip(items, words, strict=True)], batch_first=True),
            pad(phones, batch_first=True),
            pad(places, batch_first=True),
            torch.tensor(n_given),
            torch.tensor([item.key in self.encoded for item in items]),
            _frame_words(items, n_frames),
            self._taste_ids(items),
        ).to(self.device)

    def _taste_ids(self, items: Sequence[AlignedUtterance]) -> Tensor | None:
        """(batch, tokens, levels), -1 on padding; None while taste tokens still change."""
        if not self.has_taste:
            return None
        rows = [
            torch.full((len(item.word_ids), self.levels), -1)
            if item.taste_ids is None
            else item.taste_ids[torch.tensor(item.word_ids)]
            for item in items
        ]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1)


def _frame_words(items: Sequence[AlignedUtterance], n_frames: Tensor) -> Tensor:
    """(batch, frames): the encoder has as many frames a second as there are units."""
    words = torch.full((len(items), int(n_frames.max())), -2)
    for row, item, count in zip(words, items, n_frames.tolist(), strict=True):
        ends = torch.tensor(item.word_end_units)
        row[:count] = torch.bucketize(torch.arange(count), ends, right=True).clamp(max=len(ends) - 1)
    return words


def number_words(word_ids: Tensor) -> tuple[Tensor, Tensor]:
    """Count the words of a batch.

    Args:
        word_ids: (batch, tokens), -1 where there is no word.

    Returns:
        (batch, tokens) true at the first token of each word, and the number of each token's word among all
        words of the batch (of the word before where there is none).
    """
    before = torch.nn.functional.pad(word_ids, (1, 0), value=-1)[:, :-1]
    starts = (word_ids != before) & (word_ids >= 0)
    return starts, (starts.flatten().long().cumsum(0) - 1).clamp(min=0).view_as(word_ids)
