"""The checkpoint's own acoustic model as a recogniser, with the shipped checkpoint."""

import lzma
import math
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

import taste_speech
from taste_speech import TasteConfig
from taste_speech.checkpoint_files import CheckpointFiles
from taste_speech.errors import AudioError, CheckpointError
from taste_speech.recognition.base import Recognition
from taste_speech.recognition.ctc import CtcRecognizer, Hearing
from taste_speech.recognition.factory import make_recognizer
from taste_speech.recognition.ngrams import read_dictionary, read_ngrams

RATE_HZ = 16_000
SHIPPED = Path(taste_speech.__file__).parent / "checkpoints" / "small"
TEXT = "what is the capital of france"
needs_flite = pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")


@pytest.fixture(name="recognizer", scope="module")
def shipped_recognizer() -> CtcRecognizer:
    found = make_recognizer(TasteConfig.from_pretrained(SHIPPED), CheckpointFiles(SHIPPED), "ctc")
    assert isinstance(found, CtcRecognizer)
    return found


@pytest.fixture(name="question", scope="module")
def spoken_question(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    path = tmp_path_factory.mktemp("speech") / "question.wav"
    subprocess.run(["flite", "-voice", "slt", "-t", "What is the capital of France?", "-o", path], check=True)
    samples, rate = soundfile.read(path, dtype="float32")
    assert rate == RATE_HZ
    return np.pad(samples, (4800, 4800))


@needs_flite
def test_words_come_with_times_and_confidence(recognizer: CtcRecognizer, question: np.ndarray) -> None:
    recognizer.start()
    recognizer.accept(question)
    heard = recognizer.finish()
    assert heard.text == TEXT
    assert [word.text for word in heard.words] == TEXT.split()
    times = [time for word in heard.words for time in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert times[0] > 0.2
    assert times[-1] < len(question) / RATE_HZ - 0.2
    assert all(0 < word.confidence <= 1 for word in heard.words)


@needs_flite
def test_the_result_does_not_depend_on_how_audio_arrives(
    recognizer: CtcRecognizer, question: np.ndarray
) -> None:
    recognizer.start()
    partial = []
    for start in range(0, len(question), 320):
        recognizer.accept(question[start : start + 320])
        partial.append(recognizer.partial())
    assert partial[0] == ""
    assert partial[-1].startswith("what is the")
    assert recognizer.finish().text == TEXT
    recognizer.start()
    assert recognizer.finish() == Recognition()


@needs_flite
def test_long_audio_is_heard_in_parts_and_times_go_on(
    recognizer: CtcRecognizer, question: np.ndarray
) -> None:
    repeats = math.ceil(14 * RATE_HZ / len(question))
    hearing = recognizer.hear(np.tile(question, repeats))
    starts = [word.start_s for word in hearing.recognition.words if word.text == "capital"]
    assert len(starts) == repeats
    spacing = np.diff(starts)
    assert np.allclose(spacing, len(question) / RATE_HZ, atol=0.15)


@needs_flite
def test_what_was_said_is_likelier_than_something_else(
    recognizer: CtcRecognizer, question: np.ndarray
) -> None:
    log_probs = recognizer.hear(question).log_probs
    right = recognizer.log_likelihood(log_probs, TEXT)
    assert right > recognizer.log_likelihood(log_probs, "what is the capital of spain")
    assert right > recognizer.log_likelihood(log_probs, "")


def test_noise_and_silence_have_no_words(recognizer: CtcRecognizer) -> None:
    noise = 0.05 * np.random.default_rng(0).standard_normal(RATE_HZ).astype(np.float32)
    for samples in (noise, np.zeros(RATE_HZ, np.float32)):
        recognizer.start()
        recognizer.accept(samples)
        assert recognizer.partial() == ""
        assert recognizer.finish() == Recognition()


def test_wrong_audio_is_refused(recognizer: CtcRecognizer) -> None:
    for wrong in (np.zeros((2, 100), np.float32), np.full(100, np.nan, np.float32)):
        with pytest.raises(AudioError, match="one channel of finite samples"):
            recognizer.accept(wrong)


def test_damaged_files_are_clear_errors(tmp_path: Path) -> None:
    model, words = tmp_path / "words.lm.bin.xz", tmp_path / "words.dict"
    with pytest.raises(CheckpointError, match="cannot read the language model"):
        read_ngrams(model)
    model.write_bytes(b"not compressed")
    with pytest.raises(CheckpointError, match="cannot read the language model"):
        read_ngrams(model)
    model.write_bytes(lzma.compress(b"no n-grams"))
    with pytest.raises(CheckpointError, match="cannot read the language model"):
        read_ngrams(model)
    words.write_text("hello HH AH L OW\nhello(2) HH EH L OW\n")
    assert [word for word, _ in read_dictionary(words)] == ["hello", "hello"]
    words.write_text("hello XX\n")
    with pytest.raises(CheckpointError, match="cannot read the dictionary"):
        read_dictionary(words)


@pytest.mark.parametrize(
    ("frames", "said", "speech"),
    [(100, (40, 60), (30, 71)), (50, (2, 48), (0, 50)), (30, (), (0, 30))],
)
def test_what_is_long_before_and_after_the_words_is_no_speech(
    frames: int, said: tuple[int, ...], speech: tuple[int, int]
) -> None:
    probabilities = np.eye(3, dtype=np.float32)[[1 if i in said else 0 for i in range(frames)]]
    assert Hearing(Recognition(), probabilities, frame_s=0.04).speech == slice(*speech)
