import numpy as np
import pytest
import soundfile
import torch

from taste_speech.audio_io import load_audio, prepare_audio
from taste_speech.errors import AudioError

RATE = 16000


def tone(rate, seconds=0.5, hz=440.0):
    return np.sin(2 * np.pi * hz * np.arange(int(rate * seconds)) / rate).astype(np.float32)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_reads_a_file_and_averages_its_channels(tmp_path, suffix):
    path = tmp_path / f"sound.{suffix}"
    soundfile.write(path, np.stack([tone(RATE), 0.5 * tone(RATE)], axis=1), RATE)
    samples = load_audio(path, RATE)
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples, tone(RATE) * 0.75, atol=0.05)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000])
def test_resamples_any_usual_rate(rate):
    samples = prepare_audio(tone(rate), rate, RATE)
    assert abs(samples.size - RATE // 2) <= 1
    inner = slice(400, -400)
    np.testing.assert_allclose(samples[: RATE // 2][inner], tone(RATE)[: samples.size][inner], atol=0.02)


def test_int16_and_tensors_become_float_samples():
    np.testing.assert_allclose(prepare_audio(np.array([0, 16384], np.int16), RATE, RATE), [0, 0.5])
    np.testing.assert_allclose(prepare_audio(torch.tensor([0.25], dtype=torch.bfloat16), RATE, RATE), [0.25])


def test_silence_is_valid():
    assert not prepare_audio(np.zeros(100), RATE, RATE).any()


@pytest.mark.parametrize(
    ("audio", "rate", "message"),
    [
        (np.zeros(0), RATE, "audio is empty; expected at least one sample"),
        (np.zeros((2, 100)), RATE, r"audio has shape \(2, 100\); expected one channel"),
        (np.float32(0.5), RATE, r"audio has shape \(\); expected one channel"),
        ([0.0, float("nan")], RATE, "audio has 1 NaN or infinite samples"),
        ([0.0, float("inf"), float("-inf")], RATE, "audio has 2 NaN or infinite samples"),
        (np.zeros(10, np.int32), RATE, "audio has type int32; expected float samples"),
        (["a"], RATE, "audio has type <U1; expected float samples"),
        (np.zeros(10), 0, "sampling rate 0 Hz; expected a whole number, 4000 to 384000"),
        (np.zeros(10), -16000, "sampling rate -16000 Hz"),
        (np.zeros(10), 16000.5, "sampling rate 16000.5 Hz"),
        (np.zeros(RATE * 2 + 1), RATE, r"audio lasts 2.00 s; at most 2 s are allowed; split it"),
    ],
)
def test_refuses_unusable_audio(audio, rate, message):
    with pytest.raises(AudioError, match=message):
        prepare_audio(audio, rate, RATE, max_duration_s=2)


def test_missing_file():
    with pytest.raises(AudioError, match=r"/nowhere/x\.wav does not exist; give the path"):
        load_audio("/nowhere/x.wav", RATE)


def test_damaged_file(tmp_path):
    path = tmp_path / "x.wav"
    path.write_bytes(b"RIFF not really")
    with pytest.raises(AudioError, match=r"x.wav is not a sound file that can be read here; convert it"):
        load_audio(path, RATE)


def test_file_without_samples(tmp_path):
    path = tmp_path / "x.wav"
    soundfile.write(path, np.zeros(0), RATE)
    with pytest.raises(AudioError, match=r"x.wav holds no samples"):
        load_audio(path, RATE)
