"""Recordings over a cluster: the files are those of one machine."""

from pathlib import Path

import pytest
import soundfile

from taste_agent.commands.replay import replay_files
from taste_agent.config import AgentSettings
from taste_agent.errors import AgentError
from taste_agent.replay import NAMES, run_replay
from taste_agent.serve.mind import ServedModel
from taste_agent.serve.ray_replay import Replayer, _written
from taste_speech.sound_file import SoundFile
from tests.taste_agent.fakes import RATE, FakeBrain, settings
from tests.taste_agent.serve.talking import FACTS, mind_of
from tests.taste_agent.speech import silence, spoken, track


def load(own: AgentSettings) -> ServedModel:
    return ServedModel(FACTS, lambda _: mind_of(FakeBrain(heard=["hello there"], replies=["hello to you"])))


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "hello.wav"
    soundfile.write(path, track(silence(0.4), spoken("hello there"), silence(1.0)), RATE)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in NAMES}


def test_a_replayer_leaves_the_files_of_this_machine(recording: Path, tmp_path: Path) -> None:
    own = settings()
    here = run_replay(SoundFile(recording), own, tmp_path / "here", load(own).make_mind)
    outcome = Replayer(own, load).replay(recording.name, recording.read_bytes())
    there = _written(outcome, tmp_path / "there")
    assert contents(there.out) == contents(here.out)
    assert there.transcript.as_text() == here.transcript.as_text()
    assert all((there.out / name).stat().st_mode & 0o777 == 0o600 for name in NAMES)


def test_what_was_there_is_replaced(recording: Path, tmp_path: Path) -> None:
    outcome = Replayer(settings(), load).replay(recording.name, recording.read_bytes())
    (tmp_path / "reply.wav").write_bytes(b"old")
    assert contents(_written(outcome, tmp_path).out)["reply.wav"][:4] == b"RIFF"


def test_events_of_several_machines_are_not_printed(recording: Path, tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="omit --json or --ray"):
        replay_files([recording], settings(), tmp_path / "out", json_events=True, ray_address="local")


@pytest.mark.soak
def test_a_cluster_writes_the_same_bytes(
    request: pytest.FixtureRequest, tiny_checkpoint: Path, recording: Path, tmp_path: Path
) -> None:
    ray = pytest.importorskip("ray", reason="Ray is missing; pip install 'taste-agent[ray]'")
    request.addfinalizer(ray.shutdown)
    checkpoint = (f"model.checkpoint={tiny_checkpoint}", "model.device=cpu", "sampling.max_length=6")
    own = settings(*checkpoint, "sampling.seed=1", "recognition.partial_every_ms=0")
    second = recording.with_name("again.wav")
    second.write_bytes(recording.read_bytes())
    for out, address in (("here", ""), ("there", "local")):
        replay_files([recording, second], own, tmp_path / out, plain_text=True, ray_address=address)
    for name in ("hello", "again"):
        assert contents(tmp_path / "there" / name) == contents(tmp_path / "here" / name)
