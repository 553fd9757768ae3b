import dataclasses
import os
import resource
import stat
import typing

import numpy as np
import pytest
import soundfile

from taste_agent import events as ev
from taste_agent.errors import AudioFileError
from taste_agent.session.recording import SAMPLE_FIELDS, Sides, TalkFolder, WavRecorder, counted_from
from taste_agent.session.transcript import Transcript
from taste_speech.words import Word

NUMBERS = {
    "frame_samples",
    "sampling_rate_hz",
    "piece",
    "generation",
    "samples",
    "index",
    "from_word",
    "heard_words",
    "underruns",
    "gap_samples",
}
"""Integer fields of events that are no positions."""


def talk(text):
    transcript = Transcript()
    transcript.take(ev.UserTurn(16000, 1, text, (), 8000, 9000))
    return transcript


def test_every_number_of_an_event_is_known_to_be_a_position_or_not():
    kinds = [Word, *ev.Event.__subclasses__()]
    found = {
        field.name
        for kind in kinds
        for field in dataclasses.fields(kind)
        if typing.get_type_hints(kind)[field.name] is int
    }
    assert found == SAMPLE_FIELDS | NUMBERS


def test_positions_count_from_the_beginning_of_the_recording():
    word = Word("hello", start=9000, end=12000)
    moved = counted_from(10000, ev.UserTurn(16000, 1, "hello", (word,), 9000, 12000))
    assert moved == ev.UserTurn(6000, 1, "hello", (Word("hello", start=0, end=2000),), 0, 2000)


def test_everything_of_a_talk_goes_to_one_folder_and_nothing_is_replaced(tmp_path):
    folder = TalkFolder(tmp_path)
    assert folder.path is None
    saved = folder.save(talk("one"))
    first = folder.new_recording()
    first.take(ev.UserTurn(16000, 1, "recorded", (), 8000, 9000))
    first.close()
    folder.new_recording().close()
    assert folder.save(talk("two")) == saved
    assert [path.name for path in tmp_path.iterdir()] == [folder.path.name]
    names = {path.name for path in folder.path.iterdir()}
    parts = ("person{}.wav", "session{}.wav", "events{}.jsonl", "transcript{}.txt", "transcript{}.json")
    assert names == {
        "transcript.txt",
        "transcript.json",
        *(part.format(number) for part in parts for number in ("-2", "-3")),
    }
    assert "two" in saved.read_text()
    assert "recorded" in (folder.path / "transcript-2.txt").read_text()
    assert {path.stat().st_mode & 0o777 for path in folder.path.iterdir()} == {0o600}
    assert folder.path.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_made_is_told_in_a_line(tmp_path):
    (tmp_path / "file").write_text("")
    folder = TalkFolder(tmp_path / "file")
    with pytest.raises(AudioFileError, match=r"cannot save to .*--out"):
        folder.save(talk("one"))
    with pytest.raises(AudioFileError, match=r"cannot record to .*--out"):
        folder.new_recording()
    assert folder.path is None


@pytest.mark.parametrize("block", [1, 7, 320])
def test_both_sides_come_back_equally_long_and_the_agent_after_the_lead(block):
    person, agent = np.arange(1, 1001, dtype=np.float32), np.arange(1, 1001, dtype=np.float32)
    sides, taken = Sides(), []
    sides.begin(20)
    for start in range(0, 1000, block):
        sides.add(person[start : start + block], agent[start : start + block])
        taken.append(sides.take())
    taken.append(sides.take(everything=True))
    assert all(len(one) == len(other) for one, other in taken)
    left, right = (np.concatenate(side) for side in zip(*taken, strict=True))
    np.testing.assert_array_equal(left, person)
    np.testing.assert_array_equal(right, np.concatenate([np.zeros(20), agent[:980]]))


def test_the_rest_of_the_person_has_silence_beside_it():
    sides = Sides()
    sides.add(np.ones(5, np.float32), np.ones(2, np.float32))
    assert [len(side) for side in sides.take()] == [2, 2]
    person, agent = sides.take(everything=True)
    np.testing.assert_array_equal(person, np.ones(3))
    np.testing.assert_array_equal(agent, np.zeros(3))


def block(value, count=100):
    return np.full(count, value, dtype=np.float32)


def test_file_is_valid_after_every_write(tmp_path):
    path = tmp_path / "a.wav"
    with WavRecorder(path, 16000, channels=2) as recorder:
        assert soundfile.info(path).frames == 0
        for count in (1, 2, 3):
            recorder.write(block(0.5), block(-0.25))
            samples, rate_hz = soundfile.read(path)
            assert samples.shape == (100 * count, 2)
            assert rate_hz == 16000
            np.testing.assert_allclose(samples[-1], [0.5, -0.25], atol=1e-4)


def test_file_is_private(tmp_path):
    old = os.umask(0)
    try:
        with WavRecorder(tmp_path / "a.wav", 16000):
            assert stat.S_IMODE((tmp_path / "a.wav").stat().st_mode) == 0o600
    finally:
        os.umask(old)


def test_existing_file_is_not_overwritten(tmp_path):
    path = tmp_path / "a.wav"
    path.write_text("mine")
    with pytest.raises(AudioFileError, match="exists already"):
        WavRecorder(path, 16000)
    assert path.read_text() == "mine"


def test_unwritable_folder_is_told(tmp_path):
    with pytest.raises(AudioFileError, match="choose a writable folder"):
        WavRecorder(tmp_path / "none" / "a.wav", 16000)


def test_loud_samples_are_limited(tmp_path):
    with WavRecorder(tmp_path / "a.wav", 16000) as recorder:
        recorder.write(np.array([2.0, -2.0], dtype=np.float32))
    samples, _ = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert samples.tolist() == [32767, -32768]


def test_full_disk_leaves_a_valid_file(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    recorder = WavRecorder(path, 16000)
    recorder.write(block(0.1))

    def fail(data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(recorder, "_write_all", fail)
    with pytest.raises(AudioFileError, match="No space left"):
        recorder.write(block(0.2))
    recorder.close()
    assert soundfile.info(path).frames == 100


def test_a_write_that_the_disk_cuts_off_leaves_a_valid_file(tmp_path):
    path = tmp_path / "a.wav"
    recorder = WavRecorder(path, 16000)
    recorder.write(block(0.1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 50, hard))
    try:
        with pytest.raises(AudioFileError, match="stopped: "):
            recorder.write(block(0.2))
        recorder.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert soundfile.info(path).frames == 100


def test_number_of_channels_is_checked(tmp_path):
    with (
        WavRecorder(tmp_path / "a.wav", 16000, channels=2) as recorder,
        pytest.raises(ValueError, match="got 1 channels for a recording with 2"),
    ):
        recorder.write(block(0.0))
