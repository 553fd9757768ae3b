"""Taste tokens of the corpus, looked up by what was said."""

import json
import logging
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from taste_speech.audio_tower.tower import AudioTower
from taste_speech.features import LogMelFeatures
from taste_speech.training.corpus.audio_store import AudioStore
from taste_speech.training.corpus.dialogues.talks import as_heard
from taste_speech.training.fingerprint import fingerprint

logger = logging.getLogger(__name__)
Codes = tuple[int, ...]
WordTokens = Callable[[str], list[int]]


@torch.no_grad()
def word_codes(tower: AudioTower, samples: np.ndarray, pieces: Sequence[Sequence[int]]) -> list[Codes]:
    """Taste tokens of an utterance.

    Args:
        samples: (T,) float32.
        pieces: ASR tokens of each word.
    """
    features = LogMelFeatures(tower.config)(samples)
    ids = torch.tensor([[token for piece in pieces for token in piece]])
    word_ids = torch.tensor([[word for word, piece in enumerate(pieces) for _ in piece]])
    # With fewer bits, as in training, near codes would change places.
    with torch.autocast(tower.quantizer.codebooks.device.type, enabled=False):
        indices = tower(features, ids, torch.tensor([ids.shape[1]]), word_ids).indices[0]
    firsts = np.cumsum([0, *(len(piece) for piece in pieces)])[:-1]
    return [tuple(indices[first].tolist()) for first in firsts]


def write_bank(
    path: Path,
    tower: AudioTower,
    stores: dict[str, list[AudioStore]],
    word_tokens: WordTokens,
    change: Callable[[np.ndarray], np.ndarray],
    clips_per_role: int,
) -> None:
    """Encode the training clips of the stores of each role into a file of JSON lines.

    The first line is the fingerprint of the tower.

    Args:
        stores: by role; the words of a user are those a recogniser would write.
        word_tokens: ASR tokens of a word.
        change: what a microphone does to a user's samples.
        clips_per_role: at most so many, the first stores first.
    """
    partial = path.with_suffix(".partial")
    with partial.open("w") as file:
        file.write(json.dumps({"tower": fingerprint(tower)}) + "\n")
        for role, folders in stores.items():
            clips = [(store, clip) for store in folders for clip in store.of_split("train")]
            for store, clip in clips[:clips_per_role]:
                samples = store.samples(clip).astype(np.float32) / 32768
                words = clip.text.split()
                if role == "user":
                    samples, words = change(samples), as_heard(clip.text).split()
                pieces = [word_tokens(word) for word in words]
                if not words or not all(pieces):
                    continue
                line = {"role": role, "words": words, "codes": word_codes(tower, samples, pieces)}
                file.write(json.dumps(line) + "\n")
            logger.info("taste tokens of %d clips, %s", min(len(clips), clips_per_role), role)
    partial.replace(path)


def is_bank_of(path: Path, tower: AudioTower) -> bool:
    """Whether a file holds taste tokens of this tower; one of an earlier version does not say so."""
    if not path.exists():
        return False
    with path.open() as file:
        return bool(json.loads(file.readline() or "{}").get("tower") == fingerprint(tower))


class TasteBank:
    """Taste tokens by sentence, or, for sentences that nobody spoke, by word."""

    def __init__(self, path: Path) -> None:
        self.sentences: dict[tuple[str, str], list[list[Codes]]] = defaultdict(list)
        self.by_word: dict[tuple[str, str], list[Codes]] = defaultdict(list)
        for line in path.read_text().splitlines()[1:]:
            item = json.loads(line)
            codes = [tuple(row) for row in item["codes"]]
            self.sentences[item["role"], " ".join(item["words"])].append(codes)
            for word, code in zip(item["words"], codes, strict=True):
                self.by_word[item["role"], word].append(code)

    def codes(self, role: str, words: Sequence[str], rng: random.Random) -> list[Codes | None]:
        """One taste token for each word, None where the word was never spoken."""
        spoken = self.sentences.get((role, " ".join(words)))
        if spoken:
            return list(rng.choice(spoken))
        known = (self.by_word.get((role, word)) for word in words)
        return [rng.choice(choices) if choices else None for choices in known]
