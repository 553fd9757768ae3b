"""Recognition by Whisper tiny.en from a package: small enough for a talk on a CPU."""

import math
from collections.abc import Callable, Iterable
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from taste_speech.audio_tower.encoder import EncodedAudio
from taste_speech.errors import AudioError
from taste_speech.recognition.base import RECOGNITION_RATE_HZ, Recognition, RecognizedWord
from taste_speech.recognition.english_whisper import LONGEST_S, EnglishWhisper, Transcript
from taste_speech.recognition.splitting import split_at_quiet
from taste_speech.recognition.spoken_form import spoken_forms
from taste_speech.recognition.voicing import LEAST_VOICED_S, voiced_seconds

CERTAIN_SILENCE = 0.8
"""Probability that nothing is said from which no words are believed."""
LIKELY_SILENCE, DOUBTFUL_LOG_PROB = 0.5, -1.0
"""The same for words whose tokens have, in the mean, less than this logarithm. Both chosen on synthetic
voices with and without noise against noise, breath, clicks, tones, rings and music that a program made."""


def is_said(transcript: Transcript) -> bool:
    """Whether the words are those of a person, and not what Whisper writes about a noise."""
    if not transcript.token_ids or transcript.no_speech > CERTAIN_SILENCE:
        return False
    doubtful = float(np.mean(transcript.log_probs)) < DOUBTFUL_LOG_PROB
    return not (doubtful and transcript.no_speech > LIKELY_SILENCE)


class EnglishRecognizer:
    """A `Recognizer`; what was heard so far is recognized anew for each result, with the last one as a draft.

    Args:
        load: gives the model; called at the first `start`.
    """

    def __init__(self, load: Callable[[], EnglishWhisper]) -> None:
        self._load = load
        self._reset()

    @cached_property
    def model(self) -> EnglishWhisper:
        """The model, loaded when it is first needed."""
        return self._load()

    def _reset(self) -> None:
        self._heard: list[NDArray[np.float32]] = []
        self._drafts: list[tuple[int, ...]] = []
        self._recognized: tuple[int, Recognition] = (0, Recognition())
        self.encoded: tuple[EncodedAudio, ...] = ()
        """Encoder states of the last result: of the whole utterance, or of its parts where it is too long."""

    def start(self) -> None:
        """Begin an utterance; whatever was accepted before is forgotten."""
        self._reset()
        _ = self.model

    def accept(self, samples: NDArray[np.float32]) -> None:
        """Take more audio: 1-D float32, 16 kHz mono, in [-1, 1].

        Raises:
            AudioError: another shape, or NaN.
        """
        if samples.ndim != 1 or not np.isfinite(samples).all():
            raise AudioError(
                f"the recognizer takes one channel of finite samples, got shape {samples.shape}; "
                "mix to mono and remove NaN first"
            )
        self._heard.append(samples.astype(np.float32))

    def partial(self) -> str:
        """The text so far, which later audio may change; empty while no words were heard."""
        return self.finish().text

    def finish(self) -> Recognition:
        """The transcript of everything accepted since `start`; empty where no words were heard."""
        count = sum(map(len, self._heard))
        if count != self._recognized[0]:
            self._recognized = (count, self._recognize(np.concatenate(self._heard)))
        return self._recognized[1]

    def _recognize(self, audio: NDArray[np.float32]) -> Recognition:
        if voiced_seconds(audio, RECOGNITION_RATE_HZ) < LEAST_VOICED_S:
            return Recognition()
        parts = split_at_quiet(audio, int(LONGEST_S * RECOGNITION_RATE_HZ), RECOGNITION_RATE_HZ)
        self.encoded = tuple(self.model.encode(part) for part in parts)
        drafts = [*self._drafts, *((),) * len(parts)]
        self._drafts = []
        words: list[RecognizedWord] = []
        written = []
        begun_s = 0.0
        for part, encoded, draft in zip(parts, self.encoded, drafts, strict=False):
            seconds = part.size / RECOGNITION_RATE_HZ
            transcript = self.model.transcribe(encoded, seconds, draft)
            self._drafts.append(transcript.token_ids)
            if is_said(transcript):
                words += [word.later_by(begun_s) for word in self._words(transcript, seconds)]
                written.append(self.model.tokenizer.decode(list(transcript.token_ids)).strip())
            begun_s += seconds
        return Recognition(" ".join(word.text for word in words), tuple(words), " ".join(written))

    def _words(self, transcript: Transcript, seconds: float) -> Iterable[RecognizedWord]:
        """Words as they are said; those of one written word share its time and its confidence."""
        texts = [self.model.tokenizer.decode([token]) for token in transcript.token_ids]
        starts = [index for index, text in enumerate(texts) if index == 0 or text.startswith(" ")]
        spans = list(pairwise([*starts, len(texts)]))
        # Each word is decoded at once, since letters outside ASCII may be several tokens.
        written = [self.model.tokenizer.decode(list(transcript.token_ids[a:b])).strip() for a, b in spans]
        times_s = self.model.times_s(transcript, spans, seconds)
        for (first, after), (start_s, end_s), said in zip(spans, times_s, spoken_forms(written), strict=True):
            confidence = math.exp(np.mean(transcript.log_probs[first:after]))
            step_s = (end_s - start_s) / max(1, len(said))
            for number, word in enumerate(said):
                begin_s = start_s + number * step_s
                yield RecognizedWord(word, begin_s, begin_s + step_s, confidence)
