"""Recordings as recorders, pipes and other programs leave them."""

import os
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from taste_speech.audio_io import load_audio, prepare_audio
from taste_speech.errors import AudioError
from taste_speech.sound_file import SoundFile

RATE = 16000
HEADER = 44


def voice(seconds: float = 1.0, peak: float = 0.5) -> np.ndarray:
    """A tone that comes and goes, over faint noise."""
    time = np.arange(round(seconds * RATE)) / RATE
    tone = np.sin(2 * np.pi * 200 * time) * (np.sin(2 * np.pi * time) > 0)
    noise = np.random.default_rng(0).standard_normal(len(time)) * 1e-4
    return (peak * (tone + noise)).astype(np.float32)


def written(path: Path, samples: np.ndarray, subtype: str = "PCM_16") -> Path:
    soundfile.write(path, samples, RATE, subtype=subtype)
    return path


def with_sizes(path: Path, riff: int, sound: int) -> Path:
    content = bytearray(path.read_bytes())
    content[4:8], content[HEADER - 4 : HEADER] = struct.pack("<I", riff), struct.pack("<I", sound)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("riff", "sound"),
    [
        (0x7FFFF024, 0x7FFFF000),  # sox to a pipe
        (0x80000024, 0x80000000),  # arecord to a pipe
        (0xFFFFFFFF, 0xFFFFFFFF),  # ffmpeg to a pipe
        (0, RATE * 2),
    ],
)
def test_an_open_length_is_no_fault(tmp_path, riff, sound):
    file = SoundFile(with_sizes(written(tmp_path / "p.wav", voice()), riff, sound))
    assert file.notices == []
    assert len(file.samples()) == RATE


@pytest.mark.parametrize("riff", [0, 36, RATE * 2 + 36])
def test_what_a_crashed_recorder_left_is_read_to_its_end(tmp_path, riff):
    path = with_sizes(written(tmp_path / "crash.wav", voice()), riff, 0)
    before = path.read_bytes()
    file = SoundFile(path)
    assert file.notices == ["crash.wav was never closed by its recorder; it is read to its end"]
    np.testing.assert_allclose(file.samples(), voice(), atol=1e-4)
    assert path.read_bytes() == before


def test_no_sound_is_told_from_a_size_that_was_never_written(tmp_path):
    path = with_sizes(written(tmp_path / "empty.wav", voice()[:0]), HEADER + 4, 0)
    path.write_bytes(path.read_bytes()[:HEADER] + b"LIST\4\0\0\0INFO")
    with pytest.raises(AudioError, match="holds no samples"):
        SoundFile(path)


def test_a_flac_of_unknown_length_is_read_to_its_end(tmp_path):
    path = tmp_path / "pipe.flac"
    soundfile.write(path, voice(1.5), RATE)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # 36 bits of STREAMINFO
    content[22:26] = bytes(4)
    path.write_bytes(content)
    file = SoundFile(path)
    assert file.duration_s == 1.5
    assert len(file.samples()) == 1.5 * RATE


def test_a_pipe_can_be_read_twice(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    content = written(tmp_path / "a.wav", voice()).read_bytes()
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()
    file = SoundFile(pipe)
    writer.join()
    np.testing.assert_array_equal(file.samples(), file.samples())
    np.testing.assert_allclose(file.samples(), voice(), atol=1e-4)


def test_a_dash_is_stdin(tmp_path, monkeypatch):
    with written(tmp_path / "a.wav", voice()).open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        file = SoundFile("-")
    assert (file.name, len(file.samples())) == ("stdin", RATE)


def test_a_terminal_is_no_sound_file(monkeypatch):
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda self: True})())
    with pytest.raises(AudioError, match="- stands for a sound file on stdin; pipe one into the command"):
        SoundFile("-")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no such device here")
def test_an_endless_device_is_refused():
    with pytest.raises(AudioError, match="/dev/zero is a device"):
        SoundFile("/dev/zero")


@pytest.mark.parametrize(
    ("gains", "told"),
    [
        ((1, -1), "they cancel each other, so only the loudest is used"),
        ((1, -0.9), "they cancel each other, so only the loudest is used"),
        ((1, 0), "1 of them is silent and left out"),
        ((0, 0.01, 1), "2 of them are silent and left out"),
        ((1, 1), "they are mixed to one"),
    ],
)
def test_one_side_is_heard_whatever_the_other_does(tmp_path, gains, told):
    path = written(tmp_path / "in.wav", voice()[:, None] * np.array(gains), "FLOAT")
    file = SoundFile(path)
    assert file.notices == [f"in.wav has {len(gains)} channels; {told}"]
    np.testing.assert_allclose(file.samples(), voice(), atol=1e-3)


def test_two_people_on_two_channels_are_both_heard(tmp_path):
    first, second = voice(2.0), voice(2.0)[::-1] * 0.2
    file = SoundFile(written(tmp_path / "call.wav", np.stack([first, second], axis=1), "FLOAT"))
    np.testing.assert_allclose(file.samples(), (first + second) / 2, atol=1e-5)


def test_a_constant_offset_is_taken_out(tmp_path):
    file = SoundFile(written(tmp_path / "dc.wav", voice() + 0.1))
    assert file.notices == ["dc.wav has a constant offset of 0.1, which is removed"]
    np.testing.assert_allclose(file.samples(), voice(), atol=1e-3)


@pytest.mark.parametrize(("scale", "told"), [(32767, "divided by 32768"), (2.0**23, "divided by 8388608")])
def test_integers_written_as_floats_are_brought_to_full_scale(tmp_path, scale, told):
    path = written(tmp_path / "f.wav", voice() * scale, "FLOAT")
    file = SoundFile(path)
    assert told in file.notices[0]
    np.testing.assert_allclose(file.samples(), voice(), atol=1e-3)
    np.testing.assert_allclose(load_audio(path, RATE), voice(), atol=1e-3)


def test_arrays_of_integers_as_floats_are_refused():
    with pytest.raises(AudioError, match=r"audio reaches 16\d\d\d; expected float samples in \[-1, 1\]"):
        prepare_audio(voice() * 32767, RATE, RATE)


def test_more_than_full_scale_is_turned_down_not_clipped(tmp_path):
    file = SoundFile(written(tmp_path / "loud.wav", voice(peak=3.0), "FLOAT"))
    assert file.notices == ["loud.wav reaches 3.00, above full scale (1); it is attenuated to 1"]
    np.testing.assert_allclose(file.samples(), voice(peak=1.0), atol=1e-3)


def test_speech_that_is_far_too_quiet_is_raised(tmp_path):
    file = SoundFile(written(tmp_path / "q.wav", voice(peak=0.003), "FLOAT"))
    assert file.loudest_dbfs == pytest.approx(-53.5, abs=0.5)
    assert "q.wav is very quiet, -53 dBFS at its loudest; it is amplified by 28 dB" in file.notices[0]
    assert np.abs(file.samples()).max() == pytest.approx(0.08, abs=0.01)


@pytest.mark.parametrize("samples", [voice() * 0 + 1e-4 * np.random.default_rng(0).random(RATE), voice() * 0])
def test_what_holds_nothing_but_its_noise_is_left_alone(tmp_path, samples):
    file = SoundFile(written(tmp_path / "noise.wav", samples, "FLOAT"))
    assert file.notices == []
    assert np.abs(file.samples()).max() <= 1e-4


@pytest.fixture
def damaged_mp3(tmp_path):
    """Noise in the middle: libsndfile's decoder gives up there, and says so on stderr by itself."""
    path = tmp_path / "bad.mp3"
    soundfile.write(path, voice(4.0), RATE, format="MP3")
    content = bytearray(path.read_bytes())
    content[3000:6000] = np.random.default_rng(1).integers(0, 256, 3000, np.uint8).tobytes()
    path.write_bytes(content)
    return path


def test_a_damaged_file_is_told_in_our_own_words_only(damaged_mp3, capfd):
    with pytest.raises(AudioError, match=r"bad\.mp3 is damaged after \d\.\d\d s; convert or record it again"):
        SoundFile(damaged_mp3)
    assert capfd.readouterr().err == ""
    os.write(2, b"still open\n")
    assert capfd.readouterr().err == "still open\n"


def test_a_wav_without_sound_data_is_called_damaged(tmp_path):
    path = written(tmp_path / "x.wav", voice())
    path.write_bytes(path.read_bytes().replace(b"data", b"dxta"))
    with pytest.raises(AudioError, match=r"x\.wav is a damaged wav file \(it has no sound data\)"):
        SoundFile(path)


@pytest.mark.parametrize("name", ["x.pcm", "x.raw", "x.wav"])
def test_raw_samples_are_told_how_to_get_a_header(tmp_path, name):
    (tmp_path / name).write_bytes(np.arange(4000, dtype="<i2").tobytes())
    with pytest.raises(AudioError, match=r"is not a sound file .*raw samples: sox -t raw -r 16000"):
        SoundFile(tmp_path / name)


def test_blocks_of_any_size_are_the_same_sound(tmp_path):
    path = written(tmp_path / "a.wav", np.stack([voice(), -voice()], axis=1) + 0.2, "FLOAT")
    file = SoundFile(path)
    for size in (1, 777, RATE):
        np.testing.assert_array_equal(np.concatenate(list(file.blocks(size))), file.samples())


def test_what_is_remarkable_is_logged_where_nobody_asks(tmp_path, caplog):
    load_audio(written(tmp_path / "dc.wav", voice() + 0.1), RATE)
    assert "dc.wav has a constant offset" in caplog.text
