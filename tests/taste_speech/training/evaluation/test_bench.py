import numpy as np
import pytest

from taste_speech.training.evaluation.bench import Bench, Judge, between_silences
from taste_speech.training.evaluation.results import Kept
from taste_speech.training.evaluation.sounds import Clip


def test_of_clips_leaves_out_what_nobody_can_say(tmp_path):
    bench = Bench(tmp_path, tmp_path)
    bench.kept = Kept(tmp_path)
    clips = {"hi": Clip("hi", np.zeros(3, np.float32), "someone")}
    found = bench.of_clips(
        "sounds", ["hi", "7"], clips.get, lambda clip: {"text": clip.text, "length": len(clip.samples)}
    )
    assert found == [{"text": "hi", "length": 3}]


@pytest.mark.parametrize(("before", "after", "hiss"), [(0, 0, 0), (4000, 800, 0), (160, 9600, 1e-4)])
def test_quality_is_that_of_speech_between_equal_silences(tmp_path, before, after, hiss):
    rng = np.random.default_rng(0)
    speech = 0.1 * rng.standard_normal(16_000).astype(np.float32)
    expected = np.pad(speech, 3200)
    sound = np.pad(speech, (before, after)) + np.float32(hiss)
    found = between_silences(sound)
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() <= 1.1 * hiss
    assert Rates(tmp_path).quality(sound) == pytest.approx(Rates(tmp_path).quality(speech), abs=1e-3)


class Rates(Judge):
    """A judge whose network tells the power of what it is given."""

    @property
    def _dnsmos(self):
        return self

    def run(self, _names, inputs):
        return [np.array([[0.0, 0.0, 100 * np.square(inputs["input_1"]).mean()]])]


@pytest.mark.parametrize("samples", [np.zeros(0, np.float32), np.zeros(5000, np.float32)])
def test_silence_stays_silence(samples):
    assert len(between_silences(samples)) == len(samples) + 2 * 3200
