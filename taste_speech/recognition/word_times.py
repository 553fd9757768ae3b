"""When the words of a recording were said, where they are known."""

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from taste_speech.recognition.base import RECOGNITION_RATE_HZ, RecognizedWord
from taste_speech.recognition.english_whisper import LONGEST_S, EnglishWhisper, has_letters

LEAST_LOG_PROB = -4.0
"""Of a token, in the mean. Words that were said have -0.6 to -1.6 without capitals and punctuation, half of
them not said -3 to -5, others less than -5."""


def timed_words(
    model: EnglishWhisper, samples: NDArray[np.float32], words: Sequence[str]
) -> list[RecognizedWord]:
    """Return the words with their times in (T,) samples at 16 kHz.

    None has times where they cannot have been said in this sound, or where it lasts longer than `LONGEST_S`;
    a word without letters has none either.
    """
    untimed = [RecognizedWord(word) for word in words]
    seconds = samples.size / RECOGNITION_RATE_HZ
    said = [index for index, word in enumerate(words) if has_letters(word)]
    tokens = [
        model.tokenizer.encode(f" {words[index].strip()}", add_special_tokens=False).ids for index in said
    ]
    token_ids = [token for of_word in tokens for token in of_word]
    if not 0 < len(token_ids) <= model.most_tokens or seconds > LONGEST_S:
        return untimed
    transcript = model.align(model.encode(samples), token_ids)
    if np.mean(transcript.log_probs) < LEAST_LOG_PROB:
        return untimed
    spans = list(pairwise(accumulate(map(len, tokens), initial=0)))
    for index, (start_s, end_s) in zip(said, model.times_s(transcript, spans, seconds), strict=True):
        untimed[index] = RecognizedWord(words[index], start_s, end_s)
    return untimed
