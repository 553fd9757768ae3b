"""Whether taste tokens carry prosody: word durations and pitch, original against spoken again."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from taste_speech.training.evaluation.judge import Judge
from taste_speech.training.evaluation.material import RATE_HZ, Spoken
from taste_speech.training.evaluation.table import Row
from taste_speech.training.pitch import pitch_hz

Audio = NDArray[np.float32]


def word_prosody(judge: Judge, text: str, samples: Audio) -> tuple[NDArray, NDArray] | None:
    """Seconds and mean log F0 (nan: unvoiced) of each word; None if the words cannot be aligned."""
    words = judge.align(samples, text)
    if words is None:
        return None
    centres_s = np.arange(0, len(samples) / RATE_HZ, 0.01)
    f0 = pitch_hz(samples, RATE_HZ, centres_s)
    durations, pitches = [], []
    for word in words:
        if word.start_s is None or word.end_s is None:
            return None
        inside = f0[(centres_s >= word.start_s) & (centres_s < word.end_s)]
        voiced = inside[inside > 0]
        durations.append(word.end_s - word.start_s)
        pitches.append(float(np.log(voiced).mean()) if len(voiced) else np.nan)
    return np.array(durations), np.array(pitches)


def correlations(
    judge: Judge, sentences: Sequence[Spoken], sounds: Sequence[Audio]
) -> tuple[float, float, int]:
    """Correlation over all words of duration and of pitch, and the number of words."""
    pairs = []
    for sentence, sound in zip(sentences, sounds, strict=True):
        original = word_prosody(judge, sentence.text, sentence.samples)
        copy = word_prosody(judge, sentence.text, sound)
        if original is not None and copy is not None and len(original[0]) == len(copy[0]):
            pairs.append((*original, *copy))
    if not pairs:
        return 0.0, 0.0, 0
    columns = [np.concatenate(column) for column in zip(*pairs, strict=True)]
    durations = float(np.corrcoef(columns[0], columns[2])[0, 1])
    voiced = ~np.isnan(columns[1]) & ~np.isnan(columns[3])
    pitch = float(np.corrcoef(columns[1][voiced], columns[3][voiced])[0, 1])
    return durations, pitch, len(columns[0])


def rows(
    judge: Judge, sentences: Sequence[Spoken], with_taste: Sequence[Audio], text_only: Sequence[Audio]
) -> list[Row]:
    """The four figures of the table; the targets of the lower two are the margin over text alone."""
    duration, pitch, words = correlations(judge, sentences, with_taste)
    bare_duration, bare_pitch, bare_words = correlations(judge, sentences, text_only)
    return [
        Row("word duration: correlation with the original", duration, "", 0.6, True, words),
        Row("word duration: the same from text alone", bare_duration, "", duration - 0.15, False, bare_words),
        Row("word pitch: correlation with the original", pitch, "", None, True, words),
        Row("word pitch: the same from text alone", bare_pitch, "", pitch - 0.15, False, bare_words),
    ]
