import numpy as np

from taste_speech.training.config import StageContext
from taste_speech.training.corpus.audio_store import AudioStore
from taste_speech.training.voice_features import prepared_features


def add(store, *names):
    samples = (3000 * np.sin(np.arange(8000) * 0.05)).astype(np.int16)
    for name in names:
        store.append(
            samples,
            id=name,
            split="train",
            text="a",
            voice="rms",
            rate=1.0,
            pitch=1.0,
            slope=0.0,
            emphasis=None,
        )


def test_clips_that_came_later_are_computed_too(tmp_path, tiny_model):
    context = StageContext(tmp_path, tiny_model.config)
    store = AudioStore(context.folder("corpus") / "reply")
    add(store, "first")
    (features,) = prepared_features(context, ["reply"])
    before = features["first"]
    add(features.store, "second")
    (again,) = prepared_features(context, ["reply"])
    assert again.keys("train") == ["first", "second"]
    np.testing.assert_array_equal(again["first"].mel, before.mel)
    np.testing.assert_array_equal(again["second"].mel, before.mel)


def test_utterances_share_one_open_file(tmp_path, tiny_model):
    """A system lets a process map only so many files; a store has thousands of utterances."""
    context = StageContext(tmp_path, tiny_model.config)
    add(AudioStore(context.folder("corpus") / "reply"), "first", "second")
    (features,) = prepared_features(context, ["reply"])
    assert features["first"].mel.base is features["second"].mel.base
