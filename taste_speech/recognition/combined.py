"""Two recognisers at once: each is at home with other voices, and what both make of the sound decides."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from taste_speech.recognition.base import RECOGNITION_RATE_HZ, Recognition
from taste_speech.recognition.ctc import CtcRecognizer, Hearing
from taste_speech.recognition.own_process import PocketSphinxProcess
from taste_speech.recognition.pocketsphinx import PocketSphinxRecognizer

BASE_MARGIN, MARGIN_OF_CONFIDENCE = 0.1, 0.5
"""Nats a frame; chosen on utterances of `corpus.voices.TEST_VOICES`, clean and noisy, cut closely and with
1.2 s of quiet after them."""

SURE_FIT, SURE_CONFIDENCE, SURE_WORDS = -0.02, 0.8, 3
"""From what the acoustic model is not contradicted; chosen on the same utterances."""

CERTAIN_FIT, CERTAIN_CONFIDENCE = -0.005, 0.95
"""The same for a word or two; chosen on murmurs of the same voices."""

SHORT_MARGIN, SHORT_CONFIDENCE = 0.2, 0.5
"""Nats a frame by which the acoustic model's word or two, if it is so sure of them, must fit better to count.
In so little sound PocketSphinx is sure of anything, and the quiet around it makes the margin small. Chosen on
utterances and murmurs of the same voices."""


class CombinedRecognizer:
    """A `Recognizer` of PocketSphinx, trained on people, and of the checkpoint's own acoustic model.

    The acoustic model answers in a fraction of the time: where it leaves no doubt, PocketSphinx's second
    pass is spared. Else, and where they differ, the acoustic model is asked how much better its words fit the
    sound than those of PocketSphinx, which is believed if that is little, and the more so the surer it is.
    """

    def __init__(self, sphinx: PocketSphinxRecognizer | PocketSphinxProcess, ctc: CtcRecognizer) -> None:
        self.sphinx, self.ctc = sphinx, ctc
        self._heard: list[NDArray[np.float32]] = []

    def start(self) -> None:
        """Begin an utterance; whatever was accepted before is forgotten."""
        self.sphinx.start()
        self._heard = []

    def accept(self, samples: NDArray[np.float32]) -> None:
        """Take more audio: 1-D float32, 16 kHz mono, in [-1, 1].

        Errors: `AudioError` for another shape or NaN.
        """
        self.sphinx.accept(samples)
        self._heard.append(samples)

    def partial(self) -> str:
        """PocketSphinx's text so far, which later audio may change."""
        return self.sphinx.partial()

    def finish(self) -> Recognition:
        """The transcript of everything accepted since `start`; empty where no words were heard."""
        if not any(map(len, self._heard)):
            return Recognition()
        hearing = self.ctc.hear(np.concatenate(self._heard))
        own = hearing.recognition
        if is_sure(hearing):
            return own
        # In what is only quiet PocketSphinx hears "if" and "of", which make a question look unfinished.
        speech = hearing.speech
        samples = hearing.frame_s * RECOGNITION_RATE_HZ
        theirs = self.sphinx.finish(round(speech.start * samples), round(speech.stop * samples))
        if not self.sphinx.heard_voice:
            return Recognition()
        if own.text == theirs.text:
            return agreed(own, theirs)
        if is_certain(hearing):
            return own
        margin = self.ctc.log_likelihood(hearing.log_probs, own.text)
        margin -= self.ctc.log_likelihood(hearing.log_probs, theirs.text)
        margin /= speech.stop - speech.start
        return own if stands_out(own, margin) or not believes_sphinx(margin, theirs) else theirs


def agreed(own: Recognition, theirs: Recognition) -> Recognition:
    """The same words from both, with the times of `theirs`: as sure as the surer of the two."""
    words = (
        replace(word, confidence=max(word.confidence or 0.0, other.confidence or 0.0))
        for word, other in zip(theirs.words, own.words, strict=True)
    )
    return Recognition(theirs.text, tuple(words))


def is_sure(hearing: Hearing) -> bool:
    """Whether the acoustic model's words explain the sound, and are more than a sound or two."""
    return len(hearing.recognition.words) >= SURE_WORDS and _explains(hearing, SURE_FIT, SURE_CONFIDENCE)


def is_certain(hearing: Hearing) -> bool:
    """Whether nothing else explains the sound; then few words count too, once there was a voice."""
    return bool(hearing.recognition.words) and _explains(hearing, CERTAIN_FIT, CERTAIN_CONFIDENCE)


def stands_out(own: Recognition, margin: float) -> bool:
    """Whether the acoustic model's word or two count against whatever PocketSphinx makes of them."""
    short = 0 < len(own.words) < SURE_WORDS
    return short and _all_surer_than(SHORT_CONFIDENCE, own) and margin > SHORT_MARGIN


def _explains(hearing: Hearing, fit: float, confidence: float) -> bool:
    return hearing.fit > fit and _all_surer_than(confidence, hearing.recognition)


def _all_surer_than(confidence: float, recognition: Recognition) -> bool:
    return all((word.confidence or 0.0) > confidence for word in recognition.words)


def believes_sphinx(margin: float, theirs: Recognition) -> bool:
    """Whether PocketSphinx's words count.

    Args:
        margin: nats a frame by which the other recogniser's words fit the sound better, as that one hears it.
        theirs: of PocketSphinx.
    """
    if not theirs.words:
        return False
    confidence = float(np.mean([word.confidence or 0.0 for word in theirs.words]))
    return margin < BASE_MARGIN + MARGIN_OF_CONFIDENCE * confidence
