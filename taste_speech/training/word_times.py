"""When each word of a flite utterance ends and which phones it has, from flite's own phone durations.

flite prints the phones of an utterance with their end times, but not which word they belong to. Each word is
therefore also spoken alone, and the phones of the words in a row are aligned with those of the utterance.
A pause belongs to the word after it; what follows the last word belongs to that one.
"""

import json
import re
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from taste_speech.training.corpus.audio_store import Clip
from taste_speech.training.corpus.markup import mark_up

PAUSE = "pau"
_SOUNDS = (
    "aa ae ah ao aw ax ay b ch d dh eh er ey f g hh ih iy jh k l m n ng ow oy p r s sh t th uh uw v w y z zh"
)
PHONES = (PAUSE, *_SOUNDS.split())
"""flite's phones of US English; a phone's number is its place here."""
_WORDS_AT_ONCE = 200


@dataclass(frozen=True)
class Timing:
    """When words and phones of an utterance end, in seconds."""

    word_ends: list[float]
    phones: list[tuple[str, float]]
    """Pauses included."""


def timed_phones(text: str, clip: Clip) -> list[tuple[str, float]]:
    """Phones of a clip with their end times in seconds, spoken in the manner of the clip."""
    stretch = ["--setf", f"duration_stretch={1 / clip.rate:.4f}"]
    marked = mark_up(text, clip.emphasis, clip.change_word, clip.change_rate)
    printed = _flite(marked, [*stretch, "-ssml", "-psdur"], clip.voice)
    pairs = [item.rsplit(":", 1) for item in printed.split()]
    # Each sentence of a long text counts from zero.
    phones: list[tuple[str, float]] = []
    base = previous = 0.0
    for phone, end in pairs:
        if float(end) < previous:
            base += previous
        previous = float(end)
        phones.append((phone, base + previous))
    return phones


def pronunciations(words: Sequence[str], voice: str) -> dict[str, list[str]]:
    """Phones of each word spoken alone."""
    spoken = {word: re.sub(r"[^A-Za-z0-9' -]", "", word) for word in words}
    distinct = sorted({text for text in spoken.values() if re.search("[A-Za-z0-9]", text)})
    phones: dict[str, list[str]] = {}
    for start in range(0, len(distinct), _WORDS_AT_ONCE):
        block = distinct[start : start + _WORDS_AT_ONCE]
        # Each exclamation is an utterance of its own, printed on a line of its own.
        lines = _flite("".join(f"{word}!\n\n" for word in block), ["-ps"], voice).splitlines()
        if len(lines) != len(block):
            lines = [_flite(f"{word}!\n", ["-ps"], voice) for word in block]
        parts = [[phone for phone in line.split() if phone != PAUSE] for line in lines]
        phones.update(zip(block, parts, strict=True))
    return {word: phones.get(text, []) for word, text in spoken.items()}


def word_ends(words: Sequence[list[str]], phones: Sequence[tuple[str, float]]) -> list[float]:
    """End time of each word, in seconds.

    Args:
        words: expected phones of each word.
        phones: phones of the utterance with their end times, pauses included.
    """
    expected = [(phone, index) for index, word in enumerate(words) for phone in word]
    spoken = [(phone, end) for phone, end in phones if phone != PAUSE]
    rows, columns = len(expected), len(spoken)
    cost = np.zeros((rows + 1, columns + 1))
    cost[:, 0], cost[0] = np.arange(rows + 1), np.arange(columns + 1)
    for i in range(1, rows + 1):
        for j in range(1, columns + 1):
            same = 0.0 if expected[i - 1][0] == spoken[j - 1][0] else 0.9
            cost[i, j] = min(cost[i - 1, j - 1] + same, cost[i - 1, j] + 1, cost[i, j - 1] + 1)
    ends = [0.0] * len(words)
    i, j = rows, columns
    while i and j:
        same = 0.0 if expected[i - 1][0] == spoken[j - 1][0] else 0.9
        if cost[i, j] == cost[i - 1, j - 1] + same:
            word = expected[i - 1][1]
            ends[word] = max(ends[word], spoken[j - 1][1])
            i, j = i - 1, j - 1
        elif cost[i, j] == cost[i - 1, j] + 1:
            i -= 1
        else:
            ends[expected[i - 1][1]] = max(ends[expected[i - 1][1]], spoken[j - 1][1])
            j -= 1
    ends = np.maximum.accumulate(ends).tolist()
    ends[-1] = max(ends[-1], phones[-1][1])
    return ends


def prepare(clips: Iterable[Clip], path: Path, threads: int = 1) -> dict[str, Timing]:
    """Timing of all clips, kept in a JSON file; only what it lacks is computed."""
    stored = json.loads(path.read_text()) if path.exists() else {}
    times = {
        key: Timing(item["word_ends"], [(phone, end) for phone, end in item["phones"]])
        for key, item in stored.items()
    }
    missing = [clip for clip in clips if clip.id not in times]
    if not missing:
        return times
    vocabulary = sorted({word for clip in missing for word in clip.text.split()})
    known = pronunciations(vocabulary, missing[0].voice)

    def one(clip: Clip) -> Timing:
        phones = timed_phones(clip.text, clip)
        return Timing(word_ends([known[word] for word in clip.text.split()], phones), phones)

    with ThreadPoolExecutor(threads) as pool:
        times.update(zip([clip.id for clip in missing], pool.map(one, missing), strict=True))
    path.write_text(json.dumps({key: asdict(timing) for key, timing in times.items()}))
    return times


def _flite(text: str, options: Sequence[str], voice: str) -> str:
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="ascii", errors="replace") as source:
        source.write(text)
        source.flush()
        command = ["flite", "-voice", voice, *options, "-f", source.name, "-o", "none"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
