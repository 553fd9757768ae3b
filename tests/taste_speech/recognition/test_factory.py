from pathlib import Path

import pytest

import taste_speech
from taste_speech import CheckpointError, TasteConfig
from taste_speech.checkpoint_files import CheckpointFiles
from taste_speech.recognition.combined import CombinedRecognizer
from taste_speech.recognition.ctc import CtcRecognizer
from taste_speech.recognition.factory import make_recognizer
from taste_speech.recognition.packaged_whisper import PackagedWhisper
from taste_speech.recognition.pocketsphinx import PocketSphinxRecognizer
from taste_speech.recognition.whisper import WhisperRecognizer

SHIPPED = Path(taste_speech.__file__).parent / "checkpoints" / "small"


def config(**recognition):
    return TasteConfig(recognition=recognition, asr_config={"_name_or_path": "/data/whisper-tiny"})


@pytest.fixture
def files(tmp_path):
    return CheckpointFiles(tmp_path)


def test_the_checkpoint_names_its_recogniser(files):
    whisper = make_recognizer(config(language="french"), files, device="cpu")
    assert isinstance(whisper, WhisperRecognizer)
    assert (whisper.source, whisper.language) == ("openai/whisper-tiny", "french")
    assert isinstance(make_recognizer(config(backend="pocketsphinx"), files), PocketSphinxRecognizer)


def test_whisper_of_a_package_is_named_by_its_size(files):
    named = TasteConfig(recognition={"whisper_name": "tiny.en"}, asr_config={"_name_or_path": ""})
    assert isinstance(make_recognizer(named, files), PackagedWhisper)


def test_the_caller_may_choose_another(files):
    assert isinstance(make_recognizer(config(), files, backend="pocketsphinx"), PocketSphinxRecognizer)


def test_whisper_inside_the_checkpoint_comes_first(files, tmp_path):
    (tmp_path / "asr").mkdir()
    assert make_recognizer(config(), files, device="cpu").source == "openai/whisper-tiny"  # a tokenizer only
    (tmp_path / "asr" / "config.json").write_text("{}")
    assert make_recognizer(config(), files, device="cpu").source == str(tmp_path / "asr")


def test_missing_language_model(files):
    with pytest.raises(CheckpointError, match=r"has no file words\.arpa; fetch it into"):
        make_recognizer(config(backend="pocketsphinx", language_model="words.arpa"), files)


def test_unknown_recogniser(files):
    with pytest.raises(ValueError, match="unknown recogniser 'sphinx4'; choose one of whisper, pocketsphinx"):
        make_recognizer(config(), files, backend="sphinx4")


def test_an_acoustic_model_that_the_checkpoint_lacks(files):
    for backend in ("ctc", "combined"):
        with pytest.raises(ValueError, match="no acoustic model of its own"):
            make_recognizer(config(backend=backend), files)


def test_the_shipped_checkpoint_hears_with_both():
    config = TasteConfig.from_pretrained(SHIPPED)
    recognizer = make_recognizer(config, CheckpointFiles(SHIPPED))
    assert isinstance(recognizer, CombinedRecognizer)
    assert isinstance(recognizer.sphinx, PocketSphinxRecognizer)
    assert isinstance(recognizer.ctc, CtcRecognizer)
