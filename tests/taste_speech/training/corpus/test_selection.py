import shutil

import pytest

from taste_speech.configuration_taste import TasteConfig
from taste_speech.training.config import StageContext
from taste_speech.training.corpus import selection
from taste_speech.training.corpus.audio_store import AudioStore
from taste_speech.training.corpus.dialogues import as_heard
from taste_speech.training.corpus.voices import TEST_VOICES
from taste_speech.training.stages import corpus
from tests.festival import HAS_KED
from tests.rhvoice import HAS_RHVOICE


@pytest.fixture(autouse=True)
def few_reference_talks(monkeypatch):
    monkeypatch.setattr(selection, "REFERENCE_TALKS", 300)


def test_held_out_questions_are_not_heard_in_training():
    train = selection.user_sentences(200, 1, "train")
    heard = selection.heard_in_training(train, 1)
    held_out = selection.held_out_questions(50, 1, heard)
    assert len(train) == len({as_heard(text) for text in train}) == 200
    assert len(held_out) == 50
    assert not {as_heard(text) for text in held_out} & heard


def test_answers_are_divided_by_their_text():
    first, second = selection.answers(200, 5, 10, 1), selection.answers(200, 5, 10, 2)
    assert [len(first[split]) for split in ("train", "valid", "test")] == [200, 5, 10]
    assert not set(first["train"]) & set(second["test"])


@pytest.mark.skipif(
    not (shutil.which("flite") and shutil.which("espeak-ng")), reason="flite and espeak-ng are not installed"
)
def test_the_stage_fills_three_stores_and_resumes(tmp_path):
    sizes = dict.fromkeys(corpus.Settings.model_fields, 2) | {"seed": 1}
    if not HAS_KED:
        sizes["diphone_turns"] = 0
    if not HAS_RHVOICE:
        sizes["parametric_turns"] = 0
    context = StageContext(tmp_path, TasteConfig())
    corpus.run(corpus.Settings(**sizes), context)
    stores = {name: AudioStore(tmp_path / "corpus" / name) for name in ("reply", "reply2", "listeners")}
    assert {name: len(store) for name, store in stores.items()} == {"reply": 2, "reply2": 6, "listeners": 6}
    assert {clip.voice for clip in stores["listeners"].of_split("test")} <= {
        voice.name for voice in TEST_VOICES
    }
    before = [path.stat().st_mtime_ns for path in sorted((tmp_path / "corpus").rglob("*.int16"))]
    corpus.run(corpus.Settings(**sizes), context)
    assert before == [path.stat().st_mtime_ns for path in sorted((tmp_path / "corpus").rglob("*.int16"))]
