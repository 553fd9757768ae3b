from concurrent.futures import ThreadPoolExecutor

import numpy as np

from taste_speech.training.config import StageContext
from taste_speech.training.corpus.audio_store import AudioStore
from taste_speech.training.voice.features import prepared_features


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


def test_a_run_that_was_stopped_while_it_computed_does_no_harm(tmp_path, tiny_model):
    context = StageContext(tmp_path, tiny_model.config)
    add(AudioStore(context.folder("corpus") / "reply"), "first")
    (whole,) = prepared_features(context, ["reply"])
    before = whole["first"]
    (whole.folder / "index.json").unlink()
    for name in ("mel.f16", "f0.f16"):  # the index is written last
        (whole.folder / name).write_bytes(b"\x00\x3c" * 7)
    (again,) = prepared_features(context, ["reply"])
    np.testing.assert_array_equal(again["first"].mel, before.mel)
    np.testing.assert_array_equal(again["first"].f0, before.f0)


def test_two_stages_that_prepare_the_same_at_once_compute_it_once(tmp_path, tiny_model):
    context = StageContext(tmp_path, tiny_model.config)
    add(AudioStore(context.folder("corpus") / "reply"), "first", "second")
    with ThreadPoolExecutor(2) as stages:
        one, other = stages.map(lambda _: prepared_features(context, ["reply"])[0], range(2))
    size = (one.folder / "f0.f16").stat().st_size
    assert size == 2 * (len(one["first"].f0) + len(one["second"].f0))
    for key in ("first", "second"):
        np.testing.assert_array_equal(one[key].mel, other[key].mel)


def test_utterances_share_one_open_file(tmp_path, tiny_model):
    """A system lets a process map only so many files; a store has thousands of utterances."""
    context = StageContext(tmp_path, tiny_model.config)
    add(AudioStore(context.folder("corpus") / "reply"), "first", "second")
    (features,) = prepared_features(context, ["reply"])
    assert features["first"].mel.base is features["second"].mel.base
