"""What each recogniser of a checkpoint makes of the same questions."""

import time
from collections.abc import Mapping, Sequence

import numpy as np

from taste_speech.recognition.base import Recognizer
from taste_speech.training.corpus.dialogues.murmurs import is_murmur
from taste_speech.training.evaluation.material import Spoken
from taste_speech.training.evaluation.table import Row
from taste_speech.training.word_errors import word_error_rate

BLOCK_SAMPLES = 1600


def murmur_row(recognizer: Recognizer, murmurs: Sequence[Spoken], suffix: str = "") -> Row:
    """How many murmurs are taken for words that are meant: each of them would stop the agent."""
    taken = 0
    for clip in murmurs:
        recognizer.start()
        recognizer.accept(clip.samples)
        taken += not is_murmur(recognizer.finish().text)
    name = f"murmurs ('mhm', 'yeah') taken for other words{suffix}"
    return Row(name, 100 * taken / len(murmurs), "%", None, False, len(murmurs))


def rows(recognizers: Mapping[str, Recognizer], spoken: Sequence[Spoken], suffix: str = "") -> list[Row]:
    """Word errors of each recogniser, and its compute time after the end of an utterance (median)."""
    result = []
    for name, recognizer in recognizers.items():
        heard, after_s = [], []
        for clip in spoken:
            recognizer.start()
            for start in range(0, len(clip.samples), BLOCK_SAMPLES):
                recognizer.accept(clip.samples[start : start + BLOCK_SAMPLES])
            begun = time.perf_counter()
            heard.append(recognizer.finish().text)
            after_s.append(time.perf_counter() - begun)
        errors = 100 * word_error_rate([clip.text for clip in spoken], heard)
        result += [
            Row(f"recogniser {name}: word error{suffix}", errors, "%", None, False, len(spoken)),
            Row(
                f"recogniser {name}: compute after the end{suffix}",
                float(np.median(after_s)),
                "s",
                None,
                False,
                len(spoken),
            ),
        ]
    return result
