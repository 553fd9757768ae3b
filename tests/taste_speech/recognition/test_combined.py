"""Which of two recognisers is believed."""

from typing import cast

import numpy as np
import pytest

from taste_speech.audio_tower.configuration import TowerConfig
from taste_speech.recognition.acoustic import AcousticConfig
from taste_speech.recognition.base import Recognition, RecognizedWord
from taste_speech.recognition.combined import CombinedRecognizer, believes_sphinx
from taste_speech.recognition.ctc import CtcRecognizer, Hearing
from taste_speech.recognition.pocketsphinx import PocketSphinxRecognizer

FRAMES = 50


def recognition(text: str, confidence: float = 1.0) -> Recognition:
    return Recognition(text, tuple(RecognizedWord(word, confidence=confidence) for word in text.split()))


class Sphinx:
    """Says what it is told to, and keeps what it was given."""

    def __init__(self, found: Recognition, heard_voice: bool = True) -> None:
        self.found, self.heard_voice = found, heard_voice
        self.samples, self.finished = 0, False
        self.decoded = (0, 0)

    def start(self) -> None:
        self.samples = 0

    def accept(self, samples: np.ndarray) -> None:
        self.samples += len(samples)

    def partial(self) -> str:
        return f"{self.samples} samples"

    def finish(self, first: int = 0, end: int | None = None) -> Recognition:
        self.finished, self.decoded = True, (first, self.samples if end is None else end)
        return self.found


class Ctc:
    """Finds one text likely and every other one less so by some nats a frame."""

    def __init__(self, found: Recognition, margin: float, fit: float = -0.5, quiet: int = 0) -> None:
        self.found, self.margin, self.fit, self.quiet, self.samples = found, margin, fit, quiet, 0

    def hear(self, audio: np.ndarray) -> Hearing:
        self.samples = len(audio)
        log_probs = np.zeros((FRAMES + self.quiet, 3), np.float32)
        log_probs[:FRAMES, 0] = -1.0  # phones, then quiet
        return Hearing(self.found, log_probs, self.fit)

    def log_likelihood(self, log_probs: np.ndarray, text: str) -> float:
        return -10.0 if text == self.found.text else -10.0 - self.margin * FRAMES


def combined(sphinx: Sphinx, ctc: Ctc) -> CombinedRecognizer:
    return CombinedRecognizer(cast(PocketSphinxRecognizer, sphinx), cast(CtcRecognizer, ctc))


@pytest.mark.parametrize(
    ("confidence", "margin", "expected"),
    [
        (0.9, 0.3, "what is this"),
        (0.9, 1.0, "the water hiss"),
        (0.1, 0.3, "the water hiss"),
        (0.1, 0.05, "what is this"),
    ],
)
def test_sphinx_is_believed_where_it_is_sure_and_its_words_fit_almost_as_well(
    confidence: float, margin: float, expected: str
) -> None:
    sphinx, ctc = Sphinx(recognition("what is this", confidence)), Ctc(recognition("the water hiss"), margin)
    recognizer = combined(sphinx, ctc)
    recognizer.start()
    recognizer.accept(np.zeros(1600, np.float32))
    recognizer.accept(np.zeros(800, np.float32))
    assert recognizer.partial() == "2400 samples"
    assert recognizer.finish().text == expected
    assert ctc.samples == 2400


@pytest.mark.parametrize(("margin", "expected"), [(1.0, "the water hiss"), (0.3, "what is this")])
@pytest.mark.parametrize("quiet", [40, 200])
def test_a_long_wait_after_the_words_changes_nothing(quiet: int, margin: float, expected: str) -> None:
    sphinx = Sphinx(recognition("what is this", 0.5))
    recognizer = combined(sphinx, Ctc(recognition("the water hiss"), margin, quiet=quiet))
    recognizer.accept(np.zeros(1600, np.float32))
    assert recognizer.finish().text == expected


def test_words_that_both_hear_are_as_sure_as_the_surer_one() -> None:
    sphinx = Sphinx(Recognition("yes", (RecognizedWord("yes", 0.25, 0.75, confidence=0.1),)))
    recognizer = combined(sphinx, Ctc(recognition("yes", 0.6), 1.0))
    recognizer.accept(np.zeros(1600, np.float32))
    assert recognizer.finish().words == (RecognizedWord("yes", 0.25, 0.75, confidence=0.6),)


def test_sphinx_decodes_no_long_quiet() -> None:
    sphinx, ctc = Sphinx(recognition("what is this")), Ctc(recognition("water hiss"), 1.0, quiet=200)
    recognizer = combined(sphinx, ctc)
    recognizer.accept(np.zeros(32 * (FRAMES + 200), np.float32))
    recognizer.finish()
    assert sphinx.decoded == (0, (FRAMES + round(0.4 / 0.032)) * 512)


def test_noise_has_no_words_whatever_the_acoustic_model_thinks() -> None:
    recognizer = combined(Sphinx(Recognition(), heard_voice=False), Ctc(recognition("yes"), 1.0))
    recognizer.start()
    recognizer.accept(np.zeros(1600, np.float32))
    assert recognizer.finish() == Recognition()


def test_an_utterance_begins_with_nothing_of_the_last_one() -> None:
    ctc = Ctc(recognition("yes"), 1.0)
    recognizer = combined(Sphinx(recognition("no")), ctc)
    for _ in range(2):
        recognizer.start()
        recognizer.accept(np.zeros(1600, np.float32))
        recognizer.finish()
        assert ctc.samples == 1600
    recognizer.start()
    assert recognizer.finish() == Recognition()


def test_where_sphinx_hears_nothing_the_other_counts() -> None:
    assert not believes_sphinx(0.0, Recognition())


@pytest.mark.parametrize(
    ("text", "confidence", "fit", "is_sure"),
    [
        ("what is this", 0.9, -0.01, True),
        ("what is this", 0.9, -0.1, False),
        ("what is this", 0.5, -0.01, False),
    ],
)
def test_words_that_leave_no_doubt_need_no_second_opinion(
    text: str, confidence: float, fit: float, is_sure: bool
) -> None:
    sphinx = Sphinx(recognition("something else"))
    recognizer = combined(sphinx, Ctc(recognition(text, confidence), 0.0, fit))
    recognizer.start()
    recognizer.accept(np.zeros(1600, np.float32))
    assert (recognizer.finish().text == text) == is_sure
    assert sphinx.finished != is_sure


@pytest.mark.parametrize(
    ("text", "confidence", "fit", "heard_voice", "expected"),
    [
        ("uh huh", 1.0, -0.001, True, "uh huh"),
        ("yes", 1.0, 0.0, True, "yes"),
        ("yes", 0.9, 0.0, True, "i have"),
        ("uh huh", 1.0, -0.02, True, "i have"),
        ("uh huh", 1.0, -0.001, False, ""),
    ],
)
def test_a_word_or_two_count_against_sphinx_where_nothing_else_explains_a_voice(
    text: str, confidence: float, fit: float, heard_voice: bool, expected: str
) -> None:
    sphinx = Sphinx(recognition("i have"), heard_voice)
    recognizer = combined(sphinx, Ctc(recognition(text, confidence), 0.15, fit))
    recognizer.accept(np.zeros(1600, np.float32))
    assert recognizer.finish().text == expected
    assert sphinx.finished


@pytest.mark.parametrize(
    ("text", "confidence", "margin", "expected"),
    [
        ("aha", 0.6, 0.25, "aha"),
        ("aha", 0.6, 0.15, "who"),
        ("aha", 0.4, 0.25, "who"),
        ("aha aha aha", 0.6, 0.25, "who"),
    ],
)
def test_a_murmur_that_fits_better_is_no_word_however_sure_sphinx_is(
    text: str, confidence: float, margin: float, expected: str
) -> None:
    recognizer = combined(Sphinx(recognition("who")), Ctc(recognition(text, confidence), margin))
    recognizer.accept(np.zeros(1600, np.float32))
    assert recognizer.finish().text == expected


@pytest.mark.parametrize("pieces", [0, 1, 3])
def test_no_sound_is_no_words(pieces: int) -> None:
    ctc = CtcRecognizer("acoustic", "words", "dictionary", AcousticConfig(), TowerConfig())
    recognizer = CombinedRecognizer(cast(PocketSphinxRecognizer, Sphinx(recognition("of"))), ctc)
    recognizer.start()
    for _ in range(pieces):
        recognizer.accept(np.zeros(0, np.float32))
    assert recognizer.finish() == ctc.finish() == Recognition()
