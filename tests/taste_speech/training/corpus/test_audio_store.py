import numpy as np
import pytest

from taste_speech.errors import TasteError
from taste_speech.training.corpus.audio_store import AUDIO_NAME, INDEX_NAME, AudioStore


def fields(name, split="train"):
    return {
        "id": name,
        "split": split,
        "text": "Hi.",
        "voice": "v",
        "rate": 1.0,
        "pitch": 1.0,
        "slope": 0.0,
        "emphasis": None,
    }


@pytest.fixture
def store(tmp_path):
    store = AudioStore(tmp_path)
    store.append(np.arange(100, dtype=np.int16), **fields("a"))
    store.append(np.arange(50, dtype=np.int16) + 7, **fields("b", "test"))
    return store


def test_clips_are_read_back(store, tmp_path):
    again = AudioStore(tmp_path)
    assert list(again) == list(store)
    assert np.array_equal(again.samples(again[0]), np.arange(100))
    assert np.array_equal(again.samples(again[1]), np.arange(50) + 7)
    assert "b" in again
    assert "c" not in again
    assert [clip.id for clip in again.of_split("test")] == ["b"]


def test_reading_follows_an_append(store):
    store.samples(store[0])
    clip = store.append(np.full(10, 3, np.int16), **fields("c"))
    assert np.array_equal(store.samples(clip), np.full(10, 3))


def test_a_stopped_writer_resumes_at_the_last_whole_clip(store, tmp_path):
    with (tmp_path / AUDIO_NAME).open("ab") as audio:
        audio.write(b"half a clip")
    with (tmp_path / INDEX_NAME).open("a") as index:
        index.write('{"id": "torn')
    again = AudioStore(tmp_path)
    assert len(again) == 2
    clip = again.append(np.full(10, 3, np.int16), **fields("c"))
    assert clip.offset == 150
    last = AudioStore(tmp_path)
    assert [c.id for c in last] == ["a", "b", "c"]
    assert np.array_equal(last.samples(last[2]), np.full(10, 3))


def test_a_second_clip_of_an_id_is_refused(store):
    with pytest.raises(ValueError, match=r"'a' is already in"):
        store.append(np.zeros(3, np.int16), **fields("a"))


def test_other_samples_than_int16_are_refused(store):
    with pytest.raises(ValueError, match="one row of int16"):
        store.append(np.zeros(3), **fields("c"))


def test_a_broken_index_is_named(store, tmp_path):
    (tmp_path / INDEX_NAME).write_text('{"id": 1}\n')
    with pytest.raises(TasteError, match=r"index.jsonl, line 1: .*run again"):
        AudioStore(tmp_path)
