"""When the words of a recording were said, where they are known."""

import string
from collections.abc import Sequence

import numpy as np
import pocketsphinx
from numpy.typing import NDArray

from taste_speech.recognition.base import RECOGNITION_RATE_HZ, RecognizedWord
from taste_speech.recognition.pocketsphinx import FRAMES_PER_SECOND, NOT_WORDS, to_pcm, with_floor


def timed_words(samples: NDArray[np.float32], words: Sequence[str]) -> list[RecognizedWord]:
    """The words with their times in (T,) samples at 16 kHz.

    They are aligned with PocketSphinx and CMU's dictionary. Where that lacks one of them, or they cannot have
    been said in this sound, none has times.
    """
    untimed = [RecognizedWord(word) for word in words]
    said = [word.lower().strip(string.punctuation) for word in words]
    decoder = pocketsphinx.Decoder(samprate=RECOGNITION_RATE_HZ, loglevel="FATAL", lm=None)
    if not any(said) or any(word and decoder.lookup_word(word) is None for word in said):
        return untimed
    decoder.set_align_text(" ".join(filter(None, said)))
    decoder.start_utt()
    decoder.process_raw(to_pcm(with_floor(samples)).tobytes(), full_utt=True)
    decoder.end_utt()
    found = iter([segment for segment in decoder.seg() or () if not segment.word.startswith(NOT_WORDS)])
    timed = []
    for word, sound in zip(words, said, strict=True):
        segment = next(found, None) if sound else None
        if sound and segment is None:
            return untimed
        ends = () if segment is None else (segment.start_frame, segment.end_frame + 1)
        timed.append(RecognizedWord(word, *(frame / FRAMES_PER_SECOND for frame in ends)))
    return timed
