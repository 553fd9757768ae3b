"""The script in docs/ talks with the server through the openai package."""

import asyncio
import importlib.util
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr

from taste_agent.serve.access import Access
from taste_agent.serve.limits import Limits
from taste_agent.serve.mind import load_served_model
from taste_agent.serve.server import Service
from tests.taste_agent.fakes import RATE, FakeBrain, settings
from tests.taste_agent.serve.serving import carried, serving
from tests.taste_agent.speech import spoken

ROOT = Path(__file__).parents[3]
SCRIPT, DEMO = ROOT / "docs" / "realtime_client.py", ROOT / "taste_agent" / "demo"


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("realtime_client", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def recorded(sound: np.ndarray, rate_hz: int, folder: Path) -> Path:
    sound, path = soxr.resample(sound, rate_hz, 24000), folder / "question.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 24000, 0, "NONE", ""))
        file.writeframes((sound * 32767).astype("<i2").tobytes())
    return path


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return recorded(spoken("what is the capital of italy"), RATE, tmp_path)


def test_the_script_asks_interrupts_and_types(
    script: Any, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    story = " ".join(f"word{index}" for index in range(12))
    replies = ["it is rome", story, "twelve"]
    with serving(lambda: FakeBrain(heard=["what is the capital of italy"], replies=replies)) as server:
        asyncio.run(script.talk(recording, "127.0.0.1", server.port, "none"))
        (brain,) = server.brains
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["heard: what is the capital of italy", "answer: it is rome"]
    assert lines[2].startswith("cancelled: word0 word1 word2")
    assert lines[3] == "completed: twelve"
    assert brain.history[3] == ("assistant", "word0 word1 word2")  # 1.5 s of words of .4 s
    with wave.open(str(recording.with_name("answer.wav"))) as file:
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert len(sound) / 24000 == pytest.approx(1.2, abs=0.05)


@pytest.mark.soak
def test_the_shipped_checkpoint_answers_the_script(
    script: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    question = recorded(*soundfile.read(DEMO / "question.wav"), tmp_path)
    own = settings("replay.compute_time=measured", "sampling.seed=1")
    service = Service(load_served_model(own), own, Access("127.0.0.1"), Limits(), max_sessions=1)
    with carried(service) as server:
        asyncio.run(script.talk(question, "127.0.0.1", server.port, "none"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "heard: What is the capital of Italy?"
    assert "rome" in lines[1].lower()
    assert lines[2].startswith("cancelled: ")
    assert "twelve" in lines[3].lower()
