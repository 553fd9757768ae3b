"""Stage `pairs`: aligning what two voices say."""

import shutil
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file
from safetensors.torch import load_file

from taste_speech.training.config import StageContext
from taste_speech.training.corpus.audio_store import AudioStore, Timing
from taste_speech.training.stages import pairs
from taste_speech.training.stages.pairs import Aligner, Recording, dtw_path, resampled, warped

SPECTRUM_OF = np.arange(24) // 4
"""Six spectra at four levels of pitch."""


def test_the_cheapest_path_follows_what_is_alike() -> None:
    rows, columns = np.array([0, 0, 0, 1, 2, 2]), np.array([0, 1, 1, 1, 2])
    path = dtw_path(np.abs(rows[:, None] - columns[None]).astype(float), 0.01)
    assert path[0] == (0, 0)
    assert path[-1] == (5, 4)
    assert all(rows[i] == columns[j] for i, j in path)
    assert all(0 <= c - a <= 1 and 0 <= d - b <= 1 for (a, b), (c, d) in pairwise(path))


def test_times_go_where_the_path_goes() -> None:
    slower = [(i, i // 2) for i in range(20)]
    assert warped(np.array([0.0, 5.0, 10.0]), slower, 20).tolist() == pytest.approx([0.0, 10.0, 20.0])


def test_units_are_taken_where_their_phone_is() -> None:
    ids = np.array([1, 1, 1, 1, 2, 2])
    assert resampled(ids, np.array([4.0, 6.0]), np.array([2.0, 8.0]), 8).tolist() == [1, 1, 2, 2, 2, 2, 2, 2]


def talk(rng: np.random.Generator, looks: np.ndarray) -> tuple[Recording, np.ndarray]:
    """A text of twelve phones in both voices, and where its phones end among the units."""
    phones = rng.permutation(np.repeat(np.arange(6), 2))
    heard, said = rng.integers(3, 9, 12), rng.integers(3, 9, 12)
    frames = looks[np.repeat(phones, heard)] + rng.normal(0, 0.3, (heard.sum(), looks.shape[1]))
    ids = 4 * np.repeat(phones, said) + rng.integers(0, 4, said.sum())
    return Recording(frames, np.cumsum(heard).astype(float), ids), np.cumsum(said)


def test_phones_are_found_among_the_units_of_a_voice_that_sounds_otherwise() -> None:
    rng = np.random.default_rng(0)
    looks = rng.normal(0, 1, (6, 9))
    talks = [talk(rng, looks) for _ in range(12)]
    aligner = Aligner(SPECTRUM_OF, looks + rng.normal(0, 1.2, looks.shape), np.ones(9), 0.03)

    def distance() -> float:
        return float(np.mean([np.abs(aligner.phone_ends(clip) - ends).mean() for clip, ends in talks]))

    before = distance()
    aligner.fit([clip for clip, _ in talks], 4)
    assert distance() < 0.6 * before
    assert distance() < 0.7


def test_pairs_have_as_many_units_as_their_sound(
    context: StageContext, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = AudioStore(context.folder("corpus") / "reply")
    spoken = np.zeros(24_000 * 3 // 2, np.int16)

    def speak(text, manner, seed, ends_s):
        assert ends_s[-1] > 0
        return SimpleNamespace(
            samples=spoken,
            f0_hz=np.zeros(120, np.float32),
            timing=Timing(
                [1.5] * len(text.split()), [("ɑ", 1.5 * (i + 1) / len(ends_s)) for i in range(len(ends_s))]
            ),
        )

    monkeypatch.setattr(pairs, "ReplyVoice", lambda _: SimpleNamespace(speak=speak))
    start = Path(shutil.copytree(tiny_checkpoint, tmp_path / "start"))
    rng, bins = np.random.default_rng(0), context.config.voice_generator.mel_bins
    cepstra = rng.normal(0, 1, (19, min(24, bins))).astype(np.float32)
    (start / "units").mkdir()
    known = {"mel_mean": np.zeros(bins, np.float32), "mel_std": np.ones(bins, np.float32)}
    edges = {"pitch_edges": np.array([4.5, 4.8, 5.1], np.float32)}
    save_file(
        known | edges | {"voiced": cepstra[:15], "unvoiced": cepstra[15:]},
        start / "units/quantizer.safetensors",
    )
    begun = StageContext(context.root, context.config, start)
    settings = pairs.Settings(stores=["reply"], clips=3, voice="ada", fit_clips=2, fit_rounds=1)
    pairs.run(settings, begun)
    made = AudioStore(context.folder("corpus") / "pairs")
    units = load_file(context.folder("pairs") / "units.safetensors")
    rate = context.config.voice_generator.units_per_second
    assert [clip.id for clip in made] == [clip.id for clip in store[:3]]
    assert all(len(units[clip.id]) == clip.samples * rate // 24_000 for clip in made)
    monkeypatch.setattr(pairs, "_say_again", lambda *_: None)
    monkeypatch.setattr(pairs, "store_utterance", lambda *_: pytest.fail("all pairs were made"))
    pairs.run(settings, begun)
