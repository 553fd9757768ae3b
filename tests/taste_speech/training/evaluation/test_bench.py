import numpy as np

from taste_speech.training.evaluation.bench import Bench
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
