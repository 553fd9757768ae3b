import os
import resource
import stat

import numpy as np
import pytest
import soundfile

from taste_agent.audio.recording import WavRecorder
from taste_agent.errors import AudioFileError


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
