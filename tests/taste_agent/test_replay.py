"""`taste-agent replay` on files: what it writes, what it refuses, and that nothing is lost."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from taste_agent import replay
from taste_agent.audio.filters import engine_blocks
from taste_agent.clock import ENGINE_RATE_HZ
from taste_agent.errors import AgentError
from taste_agent.events import Event, Notice
from taste_speech import AudioError
from taste_speech.sound_file import SoundFile
from tests.taste_agent.fakes import FakeBrain, settings
from tests.taste_agent.speech import RATE, silence, spoken, track

LONG = "this is quite a long answer and it goes on for a good while so that you can interrupt me"
FILES = {"reply.wav", "session.wav", "events.jsonl", "transcript.txt", "transcript.json", "session.png"}


def story_brain() -> FakeBrain:
    return FakeBrain(["tell me a story", "stop it please"], [LONG, "fine"])


@pytest.fixture(scope="module")
def story(tmp_path_factory) -> Path:
    """A question, an interruption of the answer, the end."""
    audio = track(silence(1), spoken("tell me a story"), silence(4), spoken("stop it please"), silence(1))
    path = tmp_path_factory.mktemp("story") / "story.wav"
    soundfile.write(path, audio, RATE)
    return path


def read_all(path: Path) -> np.ndarray:
    return np.concatenate([samples for samples, _ in engine_blocks(SoundFile(path))])


def run(path: Path, out: Path, *overrides: str, **options):
    brain = story_brain()
    return replay.run_replay(SoundFile(path), settings(*overrides), out, lambda _: brain, **options)


def test_it_writes_everything_aligned_with_the_input(story, tmp_path):
    result = run(story, tmp_path / "out")
    assert {p.name for p in (tmp_path / "out").iterdir()} == FILES
    assert {p.stat().st_mode & 0o777 for p in (tmp_path / "out").iterdir()} == {0o600}
    source, _ = soundfile.read(story)
    reply, rate = soundfile.read(tmp_path / "out" / "reply.wav")
    both, _ = soundfile.read(tmp_path / "out" / "session.wav")
    assert rate == ENGINE_RATE_HZ
    assert both.shape == (len(reply), 2)
    assert np.allclose(both[: len(source), 0], source, atol=1e-4)
    assert np.array_equal(both[:, 1], reply)
    events = [json.loads(line) for line in (tmp_path / "out" / "events.jsonl").read_text().splitlines()]
    assert (events[0]["kind"], events[-1]["kind"]) == ("session_started", "session_ended")
    assert [e["at"] for e in events] == sorted(e["at"] for e in events)
    first = next(e for e in events if e["kind"] == "first_audio")
    assert np.flatnonzero(reply)[0] == pytest.approx(first["at"], abs=320)
    turns = json.loads((tmp_path / "out" / "transcript.json").read_text())["turns"]
    assert [(t["role"], t["heard_text"]) for t in turns] == [
        ("user", "tell me a story"),
        ("assistant", turns[1]["heard_text"]),
        ("user", "stop it please"),
        ("assistant", "fine"),
    ]
    assert f"{turns[1]['heard_text']} {turns[1]['cut_text']}" == turns[1]["text"] == LONG
    assert all(0 <= t["start_s"] < t["end_s"] for t in turns)
    assert "not heard: " in (tmp_path / "out" / "transcript.txt").read_text()
    assert result.transcript.turns[1].latency_ms["computing"] == first["computing_ms"]


def test_two_runs_and_any_block_size_are_byte_identical(story, tmp_path):
    for name, options in {"a": {}, "b": {}, "c": {"block_samples": 777}}.items():
        run(story, tmp_path / name, **options)
    for name in FILES - {"session.png"}:
        contents = {(tmp_path / folder / name).read_bytes() for folder in "abc"}
        assert len(contents) == 1, name


def test_a_second_run_replaces_the_first(story, tmp_path):
    run(story, tmp_path)
    run(story, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == FILES


@pytest.mark.parametrize("name", ["session.wav", "reply.wav"])
def test_an_earlier_output_is_not_overwritten_while_it_is_the_input(story, tmp_path, name):
    (tmp_path / name).write_bytes(story.read_bytes())
    with pytest.raises(AgentError, match=f"{name} would be overwritten; name another folder with --out"):
        run(tmp_path / name, tmp_path)
    assert (tmp_path / name).read_bytes() == story.read_bytes()


def test_a_model_that_cannot_be_loaded_leaves_an_earlier_session_alone(story, tmp_path):
    run(story, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(_settings):
        raise AgentError("no such checkpoint")

    with pytest.raises(AgentError, match="no such checkpoint"):
        replay.run_replay(SoundFile(story), settings(), tmp_path, fail)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    with pytest.raises(AgentError, match="no such checkpoint"):
        replay.run_replay(SoundFile(story), settings(), tmp_path / "new", fail)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "FLOAT", "ULAW"])
def test_sample_formats(tmp_path, subtype):
    path = tmp_path / "in.wav"
    tone = 0.25 * np.sin(np.arange(RATE) * 2 * np.pi * 440 / RATE)
    soundfile.write(path, tone, RATE, subtype=subtype)
    samples = read_all(path)
    assert samples.shape == (RATE,)
    assert np.allclose(samples, tone, atol=0.02)


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 48000, 192000])
def test_any_rate_keeps_its_duration(tmp_path, rate):
    path = tmp_path / "in.wav"
    soundfile.write(path, np.sin(np.arange(2 * rate) * 2 * np.pi * 440 / rate) * 0.3, rate)
    samples = read_all(path)
    assert abs(len(samples) - 2 * ENGINE_RATE_HZ) <= 2
    spectrum = np.abs(np.fft.rfft(samples[: 2 * ENGINE_RATE_HZ]))
    assert np.argmax(spectrum) == 880


@pytest.mark.parametrize("channels", [1, 2, 7])
def test_channels_are_mixed_and_it_is_said(tmp_path, channels):
    path = tmp_path / "in.wav"
    soundfile.write(path, np.tile(0.5 * np.sin(np.arange(RATE) / 9)[:, None], (1, channels)), RATE)
    events: list[Event] = []
    run(path, tmp_path / "out", on_event=events.append)
    notices = [e.text for e in events if isinstance(e, Notice)]
    assert notices == ([] if channels == 1 else [f"in.wav has {channels} channels; they are mixed to one"])


def test_what_the_checkpoint_cannot_do_is_said_first(story, tmp_path):
    events: list[Event] = []
    brain = FakeBrain(["tell me a story"], [LONG], notices=("it may ignore the prompt",))
    replay.run_replay(SoundFile(story), settings(), tmp_path / "out", lambda _: brain, on_event=events.append)
    assert next(e.text for e in events if isinstance(e, Notice)) == "it may ignore the prompt"


def test_an_mp3_named_wav_is_read(tmp_path):
    soundfile.write(tmp_path / "x.mp3", np.sin(np.arange(RATE) / 9) * 0.3, RATE, format="MP3")
    path = (tmp_path / "x.mp3").rename(tmp_path / "x.wav")
    samples = read_all(path)
    assert len(samples) == pytest.approx(RATE, abs=3000)


def test_a_truncated_file_is_used_and_it_is_said(story, tmp_path):
    path = tmp_path / "cut.wav"
    path.write_bytes(story.read_bytes()[:90_000])
    events: list[Event] = []
    run(path, tmp_path / "out", on_event=events.append)
    assert any("cut.wav is truncated" in e.text for e in events if isinstance(e, Notice))
    assert soundfile.info(tmp_path / "out" / "reply.wav").duration >= 2.8


def with_bytes(path: Path, position: int, value: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[position : position + len(value)] = value
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "does not exist; give the path"),
        ("folder", "is a folder; give the path of one sound file"),
        ("empty", "is empty"),
        ("header only", "holds no samples"),
        ("half a header", r"is a damaged wav file \(it has no sound data\); record it again"),
        ("text", r"is not a sound file that can be read here; convert it to wav \(raw samples: sox -t raw"),
        ("0 Hz", "is not a sound file|0 samples per second"),
        ("1000000 Hz", "1000000 samples per second; 4000 to 384000 can be used"),
        ("nan", "NaN or infinite samples, first at 0.500 s"),
    ],
)
def test_bad_input_is_one_clear_error_and_leaves_nothing(tmp_path, kind, message):
    path = tmp_path / "in.wav"
    samples = np.zeros(RATE, np.float32)
    if kind == "folder":
        path.mkdir()
    elif kind in ("empty", "text"):
        path.write_text("" if kind == "empty" else "this is no sound at all" * 10)
    elif kind != "missing":
        samples[RATE // 2] = np.nan if kind == "nan" else 0
        soundfile.write(path, samples[: 0 if kind == "header only" else RATE], RATE, subtype="FLOAT")
        if kind == "half a header":
            path.write_bytes(path.read_bytes()[:20])
        if kind.endswith("Hz"):
            with_bytes(path, 24, int(kind.split()[0]).to_bytes(4, "little"))
    with pytest.raises(AudioError, match=message) as caught:
        run(path, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_a_file_is_refused(story, tmp_path):
    (tmp_path / "out").write_text("here already")
    with pytest.raises(AgentError, match=r"cannot write to .*out .*name another folder with --out"):
        run(story, tmp_path / "out")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder_is_refused(story, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(AgentError, match="cannot write to"):
        run(story, tmp_path / "out")


def test_a_full_disk_is_told_and_what_was_written_is_valid(story, tmp_path, monkeypatch):
    written = 0
    original = replay.WavRecorder._write_all

    def write(self, data):
        nonlocal written
        written += len(data)
        if written > 200_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(self, data)

    monkeypatch.setattr(replay.WavRecorder, "_write_all", write)
    with pytest.raises(AgentError, match=r"(?i)no space|disk") as caught:
        run(story, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert soundfile.info(tmp_path / "out" / "session.wav").frames > RATE
    assert (tmp_path / "out" / "transcript.txt").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_closes_the_files_and_sets_the_exit_code(story, tmp_path, number, code):
    script = (
        "import sys\n"
        "from taste_agent.commands import replay\n"
        "from tests.taste_agent.test_replay import story_brain\n"
        "replay._load_brain = lambda settings: story_brain()\n"
        f"sys.argv = ['taste-agent', 'replay', {str(story)!r}, '--realtime', '--out', 'out']\n"
        "from taste_agent.cli import main\n"
        "main()\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    )
    log = tmp_path / "out" / "events.jsonl"
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if log.exists() and "speech_started" in log.read_text():
            break
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert errors.splitlines()[-1] == f"taste-agent: {'interrupted' if code == 130 else 'terminated'}"
    assert {p.name for p in (tmp_path / "out").iterdir()} == FILES
    assert soundfile.info(tmp_path / "out" / "session.wav").frames >= RATE // 2
    last = json.loads(log.read_text().splitlines()[-1])
    assert (last["kind"], last["reason"]) == ("session_ended", "interrupted" if code == 130 else "terminated")


def test_memory_does_not_grow_with_the_length(tmp_path):
    def peak_kib(seconds: int) -> int:
        path = tmp_path / f"{seconds}.flac"
        with soundfile.SoundFile(path, "w", RATE, 1) as file:
            for second in range(seconds):
                file.write(silence(1) if second % 60 else spoken("what is the time")[:RATE])
        script = (
            "import resource, sys; from pathlib import Path\n"
            "from taste_agent.replay import run_replay\n"
            "from taste_speech.sound_file import SoundFile\n"
            "from tests.taste_agent.fakes import FakeBrain, settings\n"
            f"path, out = Path({str(path)!r}), Path({str(tmp_path / 'out')!r})\n"
            "run_replay(SoundFile(path), settings('replay.compute_time=zero'), out, lambda _: FakeBrain())\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        return int(done.stdout)

    assert peak_kib(300) <= peak_kib(60) + 40 * 1024  # of which the larger picture is 15 MB
