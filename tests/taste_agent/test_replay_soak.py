"""An hour of silence and an hour of noise: bounded in time and memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.taste_agent.speech import RATE, at_level, cough, noise, silence, spoken

SCRIPT = """
import json, resource, sys, time
from pathlib import Path
from taste_agent.replay import run_replay
from taste_speech.sound_file import SoundFile
from tests.taste_agent.fakes import FakeBrain, settings
sound, out = SoundFile(Path(sys.argv[1])), Path(sys.argv[2])
run_replay(sound, settings("replay.compute_time=zero"), out, lambda _: FakeBrain())
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"cpu_s": usage.ru_utime + usage.ru_stime, "peak_kib": usage.ru_maxrss}))
"""


def second_of(kind: str, index: int) -> np.ndarray:
    if kind == "silent":
        return silence(1)
    sounds = (
        noise(0.5, -25.0, seed=index),
        cough(index),
        at_level(spoken("hello there")[: RATE // 2], -25.0),
        noise(0.02, -10.0, seed=index),
    )
    sound = sounds[index % len(sounds)]
    out = noise(1, -55.0, seed=index)
    out[: len(sound)] += sound
    return out


def measured(folder: Path, kind: str, seconds: int) -> dict[str, float]:
    path = folder / f"{kind}-{seconds}.flac"
    with soundfile.SoundFile(path, "w", RATE, 1) as file:
        for index in range(seconds):
            file.write(second_of(kind, index))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT, str(path), str(folder / "out")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.soak
@pytest.mark.parametrize(("kind", "limit_s"), [("silent", 180), ("noisy", 600)])
def test_an_hour_is_bounded_in_time_and_memory(tmp_path, kind, limit_s):
    minute, hour = measured(tmp_path, kind, 60), measured(tmp_path, kind, 3600)
    assert hour["cpu_s"] <= limit_s
    assert hour["peak_kib"] <= minute["peak_kib"] + 50 * 1024
