"""Fill audio stores with speech; a run that was stopped goes on where it was."""

import hashlib
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from taste_speech.training.corpus.audio_store import AudioStore, Clip
from taste_speech.training.corpus.speech import Manner, Utterance, Voice, random_manner, speak_all


def split_of(text: str, valid_percent: int = 3, test_percent: int = 5) -> str:
    """Return `train`, `valid` or `test`, fixed by a hash of the letters of `text`."""
    letters = "".join(c for c in text.lower() if c.isalnum() or c == " ")
    bucket = int.from_bytes(hashlib.sha256(letters.encode()).digest()[:4], "little") % 100
    if bucket < test_percent:
        return "test"
    return "valid" if bucket < test_percent + valid_percent else "train"


def utterances(
    texts: Sequence[str],
    voices: Sequence[Voice],
    seed: int,
    prefix: str,
    split: str | None = None,
    manner: Callable[[str, random.Random], Manner] = random_manner,
) -> list[Utterance]:
    """Give every text a voice, a manner and an id; the split is that of the text unless given."""
    rng = random.Random(seed)
    return [
        Utterance(f"{prefix}{i:06d}", split or split_of(text), text, rng.choice(voices), manner(text, rng))
        for i, text in enumerate(texts)
    ]


def record(wanted: Iterable[Utterance], folder: str | Path, processes: int = 1) -> AudioStore:
    """Speak what the store under `folder` does not have yet and return the store."""
    store = AudioStore(folder)
    missing = [utterance for utterance in wanted if utterance.id not in store]
    for utterance, samples in speak_all(missing, processes):
        store.append(
            samples,
            id=utterance.id,
            split=utterance.split,
            text=utterance.text,
            voice=utterance.voice.name,
            rate=utterance.manner.rate * utterance.voice.rate,
            pitch=utterance.manner.pitch * utterance.voice.pitch,
            slope=utterance.manner.slope,
            emphasis=utterance.manner.emphasis,
            change_word=utterance.manner.change_word,
            change_rate=utterance.manner.change_rate,
        )
    return store


def total_seconds(clips: Iterable[Clip]) -> float:
    """Return the duration of the clips in seconds."""
    return sum(clip.samples for clip in clips) / 16_000
