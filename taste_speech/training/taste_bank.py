"""Taste tokens of the corpus, looked up by what was said."""

import json
import logging
import math
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from taste_speech.audio_tower.tower import AudioTower
from taste_speech.features import LogMelFeatures
from taste_speech.training.corpus.audio_store import AudioStore, Clip
from taste_speech.training.corpus.dialogues import as_heard
from taste_speech.training.fingerprint import fingerprint

logger = logging.getLogger(__name__)
Codes = tuple[int, ...]
WordTokens = Callable[[str], list[int]]
PACES = {"": (0.0, math.inf), "slow": (0.0, 0.8), "fast": (1.25, math.inf)}
"""Lowest and highest rate of the recordings that stand for a manner."""


@torch.no_grad()
def word_codes(tower: AudioTower, samples: np.ndarray, pieces: Sequence[Sequence[int]]) -> list[Codes]:
    """Taste tokens of an utterance.

    Args:
        samples: (T,) float32.
        pieces: ASR tokens of each word.
    """
    extract = LogMelFeatures(tower.config)
    ids = torch.tensor([[token for piece in pieces for token in piece]])
    word_ids = torch.tensor([[word for word, piece in enumerate(pieces) for _ in piece]])
    # With fewer bits, as in training, near codes would change places.
    with torch.autocast(tower.quantizer.codebooks.device.type, enabled=False):
        lengths, frames = torch.tensor([ids.shape[1]]), torch.tensor([extract.frame_count(len(samples))])
        indices = tower(extract(samples), ids, lengths, word_ids, frames).indices[0]
    firsts = np.cumsum([0, *(len(piece) for piece in pieces)])[:-1]
    return [tuple(indices[first].tolist()) for first in firsts]


@dataclass(frozen=True)
class Source:
    """Recordings whose taste tokens stand for a role's speech in a manner."""

    role: str
    manner: str
    """As of `Turn`: `slow`, `fast` or plain."""
    clips: Sequence[tuple[AudioStore, Clip]]

    def __str__(self) -> str:
        return f"{self.role} {self.manner}".strip()


def in_manner(role: str, manner: str, stores: Sequence[AudioStore], at_most: int | None = None) -> Source:
    """The training clips of the stores, the first ones first; of a pace only those that are spoken at it."""
    slowest, fastest = PACES[manner]
    clips = [(store, clip) for store in stores for clip in store.of_split("train")]
    return Source(role, manner, [pair for pair in clips if slowest <= pair[1].rate <= fastest][:at_most])


def write_bank(
    path: Path,
    tower: AudioTower,
    sources: Sequence[Source],
    word_tokens: WordTokens,
    change: Callable[[np.ndarray], np.ndarray],
) -> None:
    """Encode recordings into a file of JSON lines; the first line says of which tower and of whom they are.

    Args:
        sources: the words of a user are those a recogniser would write.
        word_tokens: ASR tokens of a word.
        change: what a microphone does to a user's samples.
    """
    partial = path.with_suffix(".partial")
    with partial.open("w") as file:
        file.write(json.dumps(_title(tower, sources)) + "\n")
        for source in sources:
            for store, clip in source.clips:
                samples = store.samples_at(clip, tower.config.sampling_rate_hz)
                words = clip.text.split()
                if source.role == "user":
                    samples, words = change(samples), as_heard(clip.text).split()
                pieces = [word_tokens(word) for word in words]
                if not words or not all(pieces):
                    continue
                codes = word_codes(tower, samples, pieces)
                line = {"role": source.role, "manner": source.manner, "words": words, "codes": codes}
                file.write(json.dumps(line) + "\n")
            logger.info("taste tokens of %d clips, %s", len(source.clips), source)
    partial.replace(path)


def is_bank_of(path: Path, tower: AudioTower, sources: Sequence[Source]) -> bool:
    """Whether a file holds taste tokens of this tower for these; that of an earlier version says less."""
    if not path.exists():
        return False
    with path.open() as file:
        return bool(json.loads(file.readline() or "{}") == _title(tower, sources))


def _title(tower: AudioTower, sources: Sequence[Source]) -> dict[str, object]:
    return {"tower": fingerprint(tower), "of": [str(source) for source in sources]}


class TasteBank:
    """Taste tokens by sentence, or, for sentences that nobody spoke, by word."""

    def __init__(self, path: Path) -> None:
        self.sentences: dict[tuple[str, str, str], list[list[Codes]]] = defaultdict(list)
        self.by_word: dict[tuple[str, str, str], list[Codes]] = defaultdict(list)
        for line in path.read_text().splitlines()[1:]:
            item = json.loads(line)
            codes = [tuple(row) for row in item["codes"]]
            self.sentences[item["role"], item["manner"], " ".join(item["words"])].append(codes)
            for word, code in zip(item["words"], codes, strict=True):
                self.by_word[item["role"], item["manner"], word].append(code)

    def codes(
        self, role: str, words: Sequence[str], rng: random.Random, manner: str = ""
    ) -> list[Codes | None]:
        """One taste token for each word, None where the word was never spoken in this manner."""
        spoken = self.sentences.get((role, manner, " ".join(words)))
        if spoken:
            return list(rng.choice(spoken))
        known = (self.by_word.get((role, manner, word)) for word in words)
        return [rng.choice(choices) if choices else None for choices in known]
