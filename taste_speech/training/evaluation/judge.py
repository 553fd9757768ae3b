"""The independent judge of intelligibility: PocketSphinx with its stock US English models."""

import numpy as np
import pocketsphinx
from numpy.typing import NDArray

from taste_speech.recognition.base import RECOGNITION_RATE_HZ, RecognizedWord
from taste_speech.recognition.pocketsphinx import FRAMES_PER_SECOND, PocketSphinxRecognizer, to_pcm
from taste_speech.training.corpus.recognition_model import pronunciations
from taste_speech.training.word_errors import spoken_words

QUIET_SAMPLES = RECOGNITION_RATE_HZ // 10


class Judge:
    """Writes down what it hears without knowing our text, and aligns a known text with its sound."""

    def __init__(self) -> None:
        self._listener = PocketSphinxRecognizer()
        self._aligner = pocketsphinx.Decoder(samprate=RECOGNITION_RATE_HZ, loglevel="FATAL", lm=None)

    def transcribe(self, samples: NDArray[np.float32]) -> str:
        """Return the words heard in `samples` (T,), 16 kHz, in lower case."""
        quiet = np.zeros(QUIET_SAMPLES, dtype=np.float32)
        return self._listener.recognize(np.concatenate([quiet, samples, quiet])).text

    def align(self, samples: NDArray[np.float32], text: str) -> list[RecognizedWord] | None:
        """Return when each word of `text` is spoken in `samples` (T,); None if they do not fit together."""
        words = spoken_words(text)
        for entry, phones in pronunciations({w for w in words if self._aligner.lookup_word(w) is None}):
            self._aligner.add_word(entry, phones, True)
        self._aligner.set_align_text(" ".join(words))
        self._aligner.start_utt()
        self._aligner.process_raw(to_pcm(samples).tobytes(), full_utt=True)
        self._aligner.end_utt()
        if self._aligner.hyp() is None:
            return None
        found = [
            RecognizedWord(
                segment.word.partition("(")[0],
                segment.start_frame / FRAMES_PER_SECOND,
                (segment.end_frame + 1) / FRAMES_PER_SECOND,
            )
            for segment in self._aligner.seg()
            if not segment.word.startswith(("<", "[", "+"))
        ]
        return found if [word.text for word in found] == words else None
