import numpy as np
import pytest

from taste_speech.training.corpus.augmentation import HARD, Conditions, augment, in_room, noise, with_noise


@pytest.fixture
def speech():
    time_s = np.arange(16_000) / 16_000
    return (0.3 * np.sin(2 * np.pi * 150 * time_s) * (np.sin(2 * np.pi * 3 * time_s) > 0)).astype(np.float32)


def test_the_result_is_fixed_by_the_generator(speech):
    results = [augment(speech, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert np.array_equal(results[0], results[1])
    assert len(results[0]) != len(results[2]) or not np.array_equal(results[0], results[2])


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("conditions", [None, HARD])
def test_the_result_is_sound_in_range(speech, seed, conditions):
    result = augment(speech, np.random.default_rng(seed), conditions)
    assert result.dtype == np.float32
    assert np.isfinite(result).all()
    assert np.abs(result).max() <= 1.0
    assert len(speech) < len(result) <= len(speech) + 2 * 0.4 * 16_000


def test_silence_stays_finite():
    for seed in range(5):
        assert np.isfinite(augment(np.zeros(4000, np.float32), np.random.default_rng(seed))).all()


def test_nothing_happens_when_nothing_is_wanted(speech):
    still = Conditions(
        room_chance=0,
        band_chance=0,
        tilt_chance=0,
        noise_chance=0,
        clip_chance=0,
        silence_s=(0, 0),
        level_db=(-20, -20),
    )
    result = augment(speech, np.random.default_rng(0), still)
    assert np.corrcoef(result, speech)[0, 1] == pytest.approx(1.0)
    assert np.sqrt(np.mean(result**2)) == pytest.approx(0.1, rel=1e-3)


def test_noise_is_added_at_the_ratio(speech):
    rng = np.random.default_rng(0)
    added = with_noise(speech, noise(len(speech), rng), 10.0) - speech
    loud = speech[np.abs(speech) > 0.05 * np.abs(speech).max()]
    assert 10 * np.log10(np.mean(loud**2) / np.mean(added**2)) == pytest.approx(10.0, abs=0.1)


def test_a_room_rings_on_after_the_sound():
    click = np.zeros(16_000)
    click[1000] = 1.0
    result = in_room(click, 0.5, 3.0, np.random.default_rng(0))
    assert result[1000] == pytest.approx(1.0, abs=1e-6)
    assert not np.abs(result[:990]).max() > 1e-9
    early, late = result[1200:3000], result[7000:8800]
    assert np.sum(early**2) > 30 * np.sum(late**2) > 0
