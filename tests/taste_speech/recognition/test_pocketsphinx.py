import shutil
import subprocess

import numpy as np
import pytest
import soundfile

from taste_speech.errors import AudioError
from taste_speech.recognition.pocketsphinx import PocketSphinxRecognizer
from taste_speech.training.corpus.recognition_model import pronunciations, write_recognition_model

SENTENCES = ["what is the capital of france", "what is the colour of the sky", "stop", "tell me a story"]
needs_flite = pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_recognition_model(tmp_path_factory.mktemp("model"), SENTENCES, min_trigram_count=1)


@pytest.fixture(scope="module")
def recognizer(model):
    return PocketSphinxRecognizer(*model)


@pytest.fixture(scope="module")
def question(tmp_path_factory):
    path = tmp_path_factory.mktemp("speech") / "question.wav"
    subprocess.run(["flite", "-voice", "rms", "-t", "What is the capital of France?", "-o", path], check=True)
    samples, rate = soundfile.read(path, dtype="float32")
    assert rate == 16_000
    return np.pad(samples, (1600, 4800))


@needs_flite
def test_words_come_with_times_and_confidence(recognizer, question):
    recognizer.start()
    recognizer.accept(question)
    heard = recognizer.finish()
    assert heard.text == SENTENCES[0]
    assert [word.text for word in heard.words] == SENTENCES[0].split()
    assert all(0 <= word.confidence <= 1 for word in heard.words)
    starts = [word.start_s for word in heard.words]
    assert starts == sorted(starts)
    assert all(word.start_s < word.end_s <= len(question) / 16_000 for word in heard.words)


@needs_flite
def test_a_second_pass_over_a_part_keeps_the_times(recognizer, question):
    noise = 0.02 * np.random.default_rng(1).standard_normal(32_000).astype(np.float32)
    recognizer.start()
    recognizer.accept(np.concatenate([noise, question, noise]))
    heard = recognizer.finish(len(noise), len(noise) + len(question))
    recognizer.start()
    recognizer.accept(question)
    alone = recognizer.finish()
    assert heard.text == alone.text == SENTENCES[0]
    moved = [word.start_s - 2.0 for word in heard.words]
    assert moved == pytest.approx([word.start_s for word in alone.words], abs=0.1)


@needs_flite
def test_the_second_pass_does_not_hang_on_what_was_heard_before(model, question):
    """A loud, dull voice in between leaves a mean behind that does not suit the next one."""
    dull = np.convolve(question, np.ones(12) / 12, mode="same").astype(np.float32)
    alone = PocketSphinxRecognizer(*model).recognize(question)
    recognizer = PocketSphinxRecognizer(*model)
    for utterance in (dull, dull, question):
        recognizer.start()
        recognizer.accept(utterance)
        heard = recognizer.finish()
    assert heard.text == alone.text
    confidences = [[word.confidence for word in found.words] for found in (heard, alone)]
    assert confidences[0] == pytest.approx(confidences[1], abs=0.01)


@needs_flite
def test_partial_text_grows_while_the_person_speaks(recognizer, question):
    recognizer.start()
    partial = []
    for start in range(0, len(question), 320):
        recognizer.accept(question[start : start + 320])
        partial.append(recognizer.partial())
    assert partial[0] == ""
    assert partial[len(partial) * 2 // 3].startswith("what is the")
    assert recognizer.finish().text == SENTENCES[0]


@needs_flite
def test_the_size_of_the_pieces_does_not_matter(model, question):
    results = []
    for size in (160, 1000, 7777, len(question)):
        recognizer = PocketSphinxRecognizer(*model)
        recognizer.start()
        for start in range(0, len(question), size):
            recognizer.accept(question[start : start + size])
        results.append(recognizer.finish())
    assert all(result == results[0] for result in results)


@needs_flite
def test_start_forgets_what_came_before(recognizer, question):
    recognizer.start()
    recognizer.accept(question[: len(question) // 2])
    recognizer.start()
    assert recognizer.partial() == ""
    assert recognizer.finish().text == ""


@needs_flite
def test_recognize_takes_a_whole_utterance(recognizer, question):
    assert recognizer.recognize(question).text == SENTENCES[0]


@pytest.mark.parametrize("kind", ["silence", "hiss", "rumble", "tone", "clicks"])
def test_nothing_is_heard_in(recognizer, kind):
    rng = np.random.default_rng(0)
    sound = {
        "silence": np.zeros(32_000),
        "hiss": 0.05 * rng.standard_normal(32_000),
        "rumble": np.cumsum(rng.standard_normal(32_000)) * 1e-3,
        "tone": 0.1 * np.sin(np.arange(32_000) * 2 * np.pi * 1000 / 16_000),
        "clicks": 0.5 * (rng.random(32_000) < 0.001),
    }[kind].astype(np.float32)
    recognizer.start()
    recognizer.accept(sound)
    assert recognizer.partial() == ""
    assert recognizer.finish().text == ""


def test_finish_without_start_is_empty(model):
    assert PocketSphinxRecognizer(*model).finish().words == ()


@pytest.mark.parametrize("samples", [np.zeros((2, 100), np.float32), np.full(100, np.nan, np.float32)])
def test_unusable_audio_is_refused(recognizer, samples):
    with pytest.raises(AudioError, match="give finite samples of one channel"):
        recognizer.accept(samples)


def test_pronunciations_hold_all_variants():
    assert dict(pronunciations(["the", "cat"])).keys() == {"cat", "the", "the(2)"}


@needs_flite
def test_a_word_that_the_dictionary_lacks_gets_a_pronunciation():
    assert pronunciations(["jeweller"]) == [("jeweller", "JH UW EH L ER")]


@needs_flite
def test_what_was_heard_before_does_not_change_the_transcript(model, question):
    fresh, used = PocketSphinxRecognizer(*model), PocketSphinxRecognizer(*model)
    used.recognize(0.02 * question[::-1])
    for recognizer in (fresh, used):
        recognizer.start()
        recognizer.accept(question)
    assert used.finish().text == fresh.finish().text
