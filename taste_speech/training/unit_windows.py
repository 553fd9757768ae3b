"""Utterances of the reply voice as stage 1 takes them: encoder states, tokens, units and word boundaries."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from taste_speech.audio_tower.encoder import EncodedAudio, encode_features
from taste_speech.features import LogMelFeatures
from taste_speech.training.batching import LengthBatches, pad_ids
from taste_speech.training.corpus.audio_store import AudioStore, Clip
from taste_speech.training.recogniser import Recogniser
from taste_speech.training.taste_autoencoder import Windows
from taste_speech.training.word_times import PAUSE, PHONES, Timing

_SILENT_SIGNS = '.,?!-:;"()'
"""At the end of a word these are written, not said."""


class EncodedStore:
    """Keys and values of the frozen encoder for many clips, in half precision on disk."""

    def __init__(self, folder: Path, width: int) -> None:
        self.folder, self.width = Path(folder), width
        self.folder.mkdir(parents=True, exist_ok=True)
        self._index = self.folder / "index.json"
        self.offsets: dict[str, tuple[int, int]] = {}
        if self._index.exists():
            self.offsets = {key: (a, b) for key, (a, b) in json.loads(self._index.read_text()).items()}

    @torch.no_grad()
    def prepare(self, clips: Sequence[tuple[AudioStore, Clip]], model: Recogniser, value_layer: int) -> None:
        """Encode what is missing."""
        features = LogMelFeatures(model.config)
        position = sum(frames for _, frames in self.offsets.values())
        with (self.folder / "states.f16").open("r+b" if self.offsets else "wb") as file:
            file.seek(position * 2 * self.width * 2)
            for store, clip in clips:
                if clip.id in self.offsets:
                    continue
                mel = features(store.samples(clip).astype(np.float32) / 32768)
                encoded = encode_features(model.encoder, mel, value_layer)
                states = torch.stack([encoded.keys[0], encoded.values[0]], dim=1).half().numpy()
                file.write(states.tobytes())
                self.offsets[clip.id] = (position, len(states))
                position += len(states)
        self._index.write_text(json.dumps(self.offsets))

    def states(self, key: str) -> tuple[Tensor, Tensor]:
        """Keys and values of one clip, each (frames, width) float32; one zero frame if it is not encoded."""
        if key not in self.offsets:
            return torch.zeros(1, self.width), torch.zeros(1, self.width)
        offset, frames = self.offsets[key]
        every = np.memmap(self.folder / "states.f16", np.float16, "r").reshape(-1, 2, self.width)
        both = torch.from_numpy(every[offset : offset + frames].astype(np.float32))
        return both[:, 0], both[:, 1]


@dataclass(frozen=True)
class AlignedUtterance:
    """One utterance of the reply voice."""

    key: str
    split: str
    text: str
    token_ids: list[int]
    word_ids: list[int]
    units: Tensor  # (units,) int64
    word_end_units: list[int]
    """Unit after the last one of each word."""
    prosody: Tensor  # (words, PROSODY_SIZE), standardised
    unit_phones: Tensor  # (units,) int64, number in `word_times.PHONES`
    unit_places: Tensor  # (units,) token that is being said, as a number between tokens
    taste_ids: Tensor | None = None  # (words, levels) int64 once the taste tokens are final


class UnitProsody:
    """Prosody of words as their units tell it.

    Args:
        centroids: (units, bins + 2) of the k-means: spectrum, weighted pitch, weighted voicing.
    """

    def __init__(self, centroids: Tensor) -> None:
        self.loudness = centroids[:, :-2].mean(1)
        self.pitch = centroids[:, -2]
        self.is_voiced = (centroids[:, -1] > 0.5 * centroids[:, -1].max()).float()

    def __call__(self, units: Tensor, word_end_units: Sequence[int]) -> Tensor:
        """(words, PROSODY_SIZE), not standardised."""
        rows = []
        for first, last in zip([0, *word_end_units[:-1]], word_end_units, strict=True):
            ids = units[first:last]
            voiced, pitch = self.is_voiced[ids], self.pitch[ids]
            count = voiced.sum().clamp(min=1)
            mean = (voiced * pitch).sum() / count
            ramp = torch.linspace(-1, 1, len(ids))
            rise = (voiced * (pitch - mean) * ramp).sum() / count
            duration = torch.tensor(float(last - first)).clamp(min=0.5).log()
            loudness = self.loudness[ids].mean() if len(ids) else torch.tensor(0.0)
            rows.append(torch.stack([duration, mean, rise, voiced.sum() / max(1, len(ids)), loudness]))
        return torch.stack(rows)


def standardise(utterances: Sequence[AlignedUtterance]) -> list[AlignedUtterance]:
    """The utterances with prosody of mean 0 and deviation 1 over the training words."""
    train = torch.cat([item.prosody for item in utterances if item.split == "train"])
    mean, deviation = train.mean(0), train.std(0)
    return [replace(item, prosody=(item.prosody - mean) / deviation) for item in utterances]


def align_utterance(
    clip: Clip,
    units: Tensor,
    timing: Timing,
    tokenizer: Any,
    units_per_second: int,
    prosody: UnitProsody,
) -> AlignedUtterance:
    """Tokenize the words of a clip and find out which word, phone and token each unit belongs to."""
    pieces = [tokenizer(f" {word}", add_special_tokens=False)["input_ids"] for word in clip.text.split()]
    letters = [max(1, len(word.rstrip(_SILENT_SIGNS))) for word in clip.text.split()]
    ends = [min(len(units), round(end * units_per_second)) for end in timing.word_ends]
    ends[-1] = len(units)
    middles_s = (np.arange(len(units)) + 0.5) / units_per_second
    ends_s = np.array([end for _, end in timing.phones])
    spoken = np.searchsorted(ends_s, middles_s).clip(max=len(ends_s) - 1)
    names = [phone for phone, _ in timing.phones]
    unit_phones = np.array([PHONES.index(name) if name in PHONES else 0 for name in names])[spoken]
    return AlignedUtterance(
        clip.id,
        clip.split,
        clip.text,
        [token for piece in pieces for token in piece],
        [word for word, piece in enumerate(pieces) for _ in piece],
        units.long(),
        ends,
        prosody(units.long(), ends),
        torch.from_numpy(unit_phones),
        _places(timing, middles_s, spoken, [len(piece) for piece in pieces], letters),
    )


def _places(
    timing: Timing, middles_s: np.ndarray, spoken: np.ndarray, n_tokens: Sequence[int], letters: Sequence[int]
) -> Tensor:
    """(units,) place among the tokens: a word's phones share its letters evenly, pauses get what is silent.

    Args:
        spoken: (units,) number of the phone of each unit.
        n_tokens, letters: of each word, tokens and how many of them are said.
    """
    ends_s = np.array([end for _, end in timing.phones])
    starts_s = np.concatenate([[0.0], ends_s[:-1]])
    is_pause = np.array([phone == PAUSE for phone, _ in timing.phones])
    word = np.searchsorted(timing.word_ends, ends_s - 1e-6).clip(max=len(n_tokens) - 1)
    first = np.cumsum([0, *n_tokens])
    done = np.zeros(len(ends_s))  # share of the word's phones before this one
    share = np.zeros(len(ends_s))
    for index in range(len(n_tokens)):
        own = np.flatnonzero((word == index) & ~is_pause)
        done[own], share[own] = np.arange(len(own)) / max(1, len(own)), 1 / max(1, len(own))
    last_spoken = np.flatnonzero(~is_pause).max(initial=0)
    within = (middles_s - starts_s[spoken]) / np.maximum(ends_s - starts_s, 1e-3)[spoken]
    part = done[spoken] + share[spoken] * within.clip(0, 1)
    said = first[word[spoken]] + part * np.array(letters)[word[spoken]] - 0.5
    silent = np.where(spoken > last_spoken, first[-1] - 1, first[word[spoken]])
    return torch.from_numpy(np.where(is_pause[spoken], silent, said)).float()


class WindowBatches:
    """Batches of random windows of whole words.

    Args:
        utterances: what to draw from.
        encoded: their encoder states.
        budget: most units in a padded batch.
        whole_part: fraction of the batches that are whole utterances.
    """

    def __init__(
        self, utterances: Sequence[AlignedUtterance], encoded: EncodedStore, budget: int, whole_part: float
    ) -> None:
        self.utterances, self.encoded, self.whole_part = utterances, encoded, whole_part
        self.batches = LengthBatches([len(u.units) + len(u.token_ids) for u in utterances], budget)

    def endless(self, generator: torch.Generator) -> Iterator[Windows]:
        """Random windows for training."""
        for chosen in self.batches.endless(generator):
            items = [self.utterances[i] for i in chosen]
            # A batch is of one sort: a window beside whole utterances would be mostly padding.
            whole = float(torch.rand((), generator=generator)) < self.whole_part
            spans = [
                (0, len(item.word_end_units)) if whole else self._draw(item, generator) for item in items
            ]
            yield self.collate(items, spans)

    def whole(self) -> Iterator[tuple[list[AlignedUtterance], Windows]]:
        """All utterances as they are, once."""
        for chosen in self.batches.one_pass():
            items = [self.utterances[i] for i in chosen]
            yield items, self.collate(items, [(0, len(item.word_end_units)) for item in items])

    def _draw(self, item: AlignedUtterance, generator: torch.Generator) -> tuple[int, int]:
        """First word and the word after the last of a window."""
        count = len(item.word_end_units)
        first = int(torch.randint(0, count, (), generator=generator))
        # Half of the windows begin the utterance: the first chunks of a reply are the ones one waits for.
        first = first if float(torch.rand((), generator=generator)) < 0.5 else 0
        return first, int(torch.randint(first + 1, count + 1, (), generator=generator))

    def collate(self, items: Sequence[AlignedUtterance], spans: Sequence[tuple[int, int]]) -> Windows:
        """Windows over the words [first, last) of the items."""
        units, words, first_tokens, n_tokens, phones, places = [], [], [], [], [], []
        for item, (first, last) in zip(items, spans, strict=True):
            ends = [0, *item.word_end_units]
            units.append(item.units[ends[first] : ends[last]])
            phones.append(item.unit_phones[ends[first] : ends[last]])
            places.append(item.unit_places[ends[first] : ends[last]])
            counts = torch.tensor([ends[w + 1] - ends[w] for w in range(first, last)])
            words.append(torch.repeat_interleave(torch.arange(first, last), counts))
            first_tokens.append(item.word_ids.index(first))
            n_tokens.append(sum(first <= word < last for word in item.word_ids))
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
            pad(phones, batch_first=True),
            pad(places, batch_first=True),
            self._taste_ids(items),
        )

    def _taste_ids(self, items: Sequence[AlignedUtterance]) -> Tensor | None:
        """(batch, tokens, levels), -1 on padding; None while taste tokens still change."""
        rows = [item.taste_ids[torch.tensor(item.word_ids)] for item in items if item.taste_ids is not None]
        if len(rows) < len(items):
            return None
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1)
