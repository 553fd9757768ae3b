from pathlib import Path

import pytest

import taste_speech
from taste_speech import TasteConfig
from taste_speech.checkpoint_files import CheckpointFiles
from taste_speech.recognition.english_recognizer import EnglishRecognizer
from taste_speech.recognition.factory import make_recognizer
from taste_speech.recognition.whisper import WhisperRecognizer

SHIPPED = Path(taste_speech.__file__).parent / "checkpoints" / "small"


def config(**recognition):
    return TasteConfig(recognition=recognition, asr_config={"_name_or_path": "/data/whisper-tiny"})


@pytest.fixture
def files(tmp_path):
    return CheckpointFiles(tmp_path)


def test_the_checkpoint_names_its_whisper(files):
    whisper = make_recognizer(config(language="french"), files, device="cpu")
    assert isinstance(whisper, WhisperRecognizer)
    assert (whisper.source, whisper.language) == ("openai/whisper-tiny", "french")


def test_whisper_of_a_package_is_named_by_its_size(files):
    named = TasteConfig(recognition={"whisper_name": "tiny.en"}, asr_config={"_name_or_path": ""})
    assert isinstance(make_recognizer(named, files), EnglishRecognizer)


def test_whisper_inside_the_checkpoint_comes_first(files, tmp_path):
    (tmp_path / "asr").mkdir()
    assert make_recognizer(config(), files, device="cpu").source == "openai/whisper-tiny"  # a tokenizer only
    (tmp_path / "asr" / "config.json").write_text("{}")
    assert make_recognizer(config(), files, device="cpu").source == str(tmp_path / "asr")


def test_the_shipped_checkpoint_hears_with_that_of_the_package():
    config = TasteConfig.from_pretrained(SHIPPED)
    assert isinstance(make_recognizer(config, CheckpointFiles(SHIPPED)), EnglishRecognizer)
