"""Where `taste-agent replay` puts its results, and what it says of them."""

import io
import json
import re

import pytest
import soundfile

from taste_agent.commands import replay
from taste_speech import AudioError, CheckpointError
from tests.taste_agent.fakes import FakeBrain, settings
from tests.taste_agent.speech import RATE, silence, spoken, track


@pytest.fixture(autouse=True)
def _fake(monkeypatch):
    monkeypatch.setattr(replay, "_load_brain", lambda _: FakeBrain())


@pytest.fixture
def sound(tmp_path):
    """Writes a sound file below tmp_path; its length tells one from the other."""

    def write(name, seconds=1):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, silence(seconds), RATE)
        return path

    return write


def run(files, out=None, **options):
    replay.replay_files(files, settings("replay.compute_time=zero"), out, **options)


def test_two_files_of_one_name_have_two_folders(sound, tmp_path, capsys):
    files = [sound("a/talk.wav", 1), sound("b/talk.wav", 2), sound("talk.flac", 3)]
    out = tmp_path / "out"
    run(files, out)
    lengths = {path.name: round(soundfile.info(path / "session.wav").duration) for path in out.iterdir()}
    assert lengths == {"talk": 1, "talk-2": 2, "talk-3": 3}
    told = re.findall(
        r"Written to (.*): reply\.wav, session\.wav, session\.png, events\.jsonl", capsys.readouterr().out
    )
    assert told == [str(out / name) for name in ("talk", "talk-2", "talk-3")]


@pytest.mark.parametrize(
    ("stems", "names"),
    [
        (["a", "b"], ["a", "b"]),
        (["a", "a", "a-2"], ["a", "a-3", "a-2"]),
        (["a-2", "a", "a"], ["a-2", "a", "a-3"]),
        (["a-2", "a-2", "a"], ["a-2", "a-2-2", "a"]),
        (["Talk", "talk"], ["Talk", "talk-2"]),
        (["talk", "talk", "TALK-2"], ["talk", "talk-3", "TALK-2"]),
    ],
)
def test_names_of_sessions(sound, tmp_path, stems, names):
    files = [sound(f"{index}/{stem}.wav", 0.1) for index, stem in enumerate(stems)]
    run(files, tmp_path / "out", plain_text=True)
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(names)
    for path, name in zip(files, names, strict=True):
        first = json.loads((tmp_path / "out" / name / "events.jsonl").read_text().splitlines()[0])
        assert first["source"] == path.name


def test_one_file_has_the_folder_itself(sound, tmp_path):
    run([sound("talk.wav")], tmp_path / "out", plain_text=True)
    assert (tmp_path / "out" / "reply.wav").exists()


def test_without_out_no_two_runs_share_a_folder(sound, tmp_path, monkeypatch):
    path = sound("talk.wav", 0.1)
    monkeypatch.chdir(tmp_path)
    for _ in range(3):
        run([path], plain_text=True)
    folders = [entry.name for entry in tmp_path.iterdir() if entry.is_dir()]
    assert len(folders) == 3
    assert all(re.fullmatch(r"taste-agent-20\d{6}-\d{6}(-\d)?", name) for name in folders)


def test_names_in_brackets_are_shown_as_they_are(sound, tmp_path, capsys):
    out = tmp_path / "o[bold]:bug:"
    run([sound("talk.wav")], out)
    assert f"Written to {out}: reply.wav" in capsys.readouterr().out


def test_notices_name_the_file_as_it_is(sound, tmp_path, capsys):
    path = sound("t[bold]:bug:.wav")
    soundfile.write(path, track(silence(1))[:, None].repeat(2, 1), RATE)
    run([path], tmp_path / "out")
    assert "info: t[bold]:bug:.wav has 2 channels" in capsys.readouterr().err


def test_progress_names_the_file_as_it_is(sound, tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    run([sound("t[bold]:bug:.wav")], tmp_path / "out")
    assert "Replaying t[bold]:bug:.wav" in terminal.getvalue()


def test_all_files_are_looked_at_before_the_first_takes_its_time(sound, tmp_path, monkeypatch):
    monkeypatch.setattr(replay, "_load_brain", lambda _: pytest.fail("the model was loaded"))
    with pytest.raises(AudioError, match=r"nothere\.wav does not exist"):
        run([sound("talk.wav"), tmp_path / "nothere.wav"], tmp_path / "out")


def test_a_mistyped_checkpoint_leaves_nothing(sound, tmp_path, monkeypatch):
    path = sound("talk.wav")
    monkeypatch.chdir(tmp_path)
    for out in (None, tmp_path / "out"):
        with pytest.raises(CheckpointError, match="no checkpoint 'smal'"):
            replay.replay_files([path], settings("model.checkpoint=smal"), out)
    assert list(tmp_path.iterdir()) == [path]


def test_plain_lines_of_several_files_name_them_and_the_folders(sound, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(replay, "_load_brain", lambda _: FakeBrain(["hello there"], ["hello"]))
    spoken_file = sound("b.wav")
    soundfile.write(spoken_file, track(silence(0.5), spoken("hello there"), silence(1)), RATE)
    run([sound("a.wav"), spoken_file], tmp_path / "out", plain_text=True)
    printed = capsys.readouterr()
    assert re.fullmatch(r"a\.wav:\nb\.wav:\n\[.*\] You: hello there\n\[.*\] Agent: hello\n", printed.out)
    for name in "ab":
        files = {path.name for path in (tmp_path / "out" / name).iterdir()}
        told = re.search(f"Written to {re.escape(str(tmp_path / 'out' / name))}: (.*)", printed.err)
        assert set(told[1].split(", ")) == files


def test_a_file_without_words_is_told_with_its_level(sound, tmp_path, capsys):
    run([sound("still.wav")], tmp_path / "out")
    shown = capsys.readouterr().out
    assert "no words were heard in still.wav, whose peak is -75 dBFS; if somebody speaks" in shown
    assert "Turns" not in shown


def test_a_dollar_in_the_name_is_one(sound, tmp_path):
    run([sound("p$a_$b.wav"), sound("c$\\frac$.wav")], tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*/session.png"))) == 2
