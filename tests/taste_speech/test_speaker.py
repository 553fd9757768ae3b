import os
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import save_file

from taste_speech.audio_io import prepare_audio
from taste_speech.errors import AudioError, CheckpointError
from taste_speech.speaker import (
    OnnxModel,
    SpeakerEncoder,
    SpeechUnitExtractor,
    fbank_features,
    load_voices,
)

DATA = Path(__file__).parent / "data"
RATE = 16000


def voice(seed, seconds=0.5, rate=RATE):
    return np.random.default_rng(seed).normal(0, 0.1, int(seconds * rate)).astype(np.float32)


class CountingEncoder:
    def __init__(self):
        self.model = OnnxModel(DATA / "speaker_embed.onnx")
        self.calls = 0

    def __call__(self, features):
        self.calls += 1
        return self.model(features)


@pytest.fixture
def counting():
    return CountingEncoder()


def test_filter_banks_have_no_mean():
    features = fbank_features(voice(0))
    assert features.shape == (1, 48, 80)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features.mean(axis=1), 0, atol=1e-4)


def test_embedding_is_the_encoders_output_for_the_filter_banks(counting):
    embedding = SpeakerEncoder(counting).embed(voice(1))
    np.testing.assert_allclose(embedding[0], fbank_features(voice(1)).max(axis=1)[0], rtol=1e-5)


def test_mean_of_the_references_has_length_one(counting):
    encoder = SpeakerEncoder(counting)
    both = encoder.embed_all([voice(1), voice(2)])
    mean = (encoder.embed(voice(1)) + encoder.embed(voice(2))) / 2
    torch.testing.assert_close(both, mean / mean.norm())


def test_each_reference_is_encoded_once(counting, tmp_path):
    encoder, path = SpeakerEncoder(counting), tmp_path / "a.wav"
    soundfile.write(path, voice(1), RATE)
    for _ in range(2):
        encoder.embed(voice(1))
        encoder.embed(torch.from_numpy(voice(1)))
        encoder.embed(path)
        encoder.embed(str(path))
    assert counting.calls == 2
    encoder.embed(voice(2))
    soundfile.write(path, voice(3, seconds=0.7), RATE)
    encoder.embed(path)
    assert counting.calls == 4


def test_arrays_at_other_rates_are_resampled(counting):
    encoder, recording = SpeakerEncoder(counting), voice(1, rate=48000)
    expected = encoder.embed(prepare_audio(recording, 48000, RATE))
    assert torch.equal(encoder.embed(recording, 48000), expected)
    assert not torch.equal(encoder.embed(recording), expected)


def test_fixed_voices_need_no_encoder(tmp_path):
    save_file({"ada": torch.tensor([1.0, 0.0], dtype=torch.float16)}, tmp_path / "voices.safetensors")
    voices = load_voices(tmp_path / "voices.safetensors")
    encoder = SpeakerEncoder(OnnxModel(tmp_path / "none.onnx"), voices)
    assert encoder.embed("ada").tolist() == [[1.0, 0.0]]
    with pytest.raises(AudioError, match="no voice and no audio file 'bob'; voices of this checkpoint: ada"):
        encoder.embed("bob")
    with pytest.raises(
        AudioError, match=r"no reference audio; give at least one .*; voices of this checkpoint"
    ):
        encoder.embed_all([])
    with pytest.raises(
        CheckpointError, match=r"the checkpoint has no none.onnx .*use one of its fixed voices"
    ):
        encoder.embed(voice(1))


def test_no_voices_file(tmp_path):
    assert load_voices(tmp_path / "voices.safetensors") == {}


def test_damaged_voices_file(tmp_path):
    (tmp_path / "voices.safetensors").write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"cannot read the voices in .*; fetch it again"):
        load_voices(tmp_path / "voices.safetensors")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (np.zeros(0, np.float32), "reference audio is empty"),
        (np.full(8000, np.nan), "reference audio has 8000 NaN"),
        (np.zeros((2, 8000)), "reference audio has shape"),
        (np.zeros(100), "the reference audio lasts 6 ms; expected at least 100 ms"),
        ("/nowhere.wav", r"/nowhere\.wav does not exist; give the path"),
    ],
)
def test_refuses_unusable_references(counting, reference, message):
    with pytest.raises(AudioError, match=message):
        SpeakerEncoder(counting).embed(reference)


def test_a_voice_can_come_from_a_pipe(counting, tmp_path):
    wav, pipe = tmp_path / "a.wav", tmp_path / "pipe"
    soundfile.write(wav, voice(1), RATE)
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(wav.read_bytes(),))
    writer.start()
    encoder = SpeakerEncoder(counting, {"ada": torch.ones(1, 4)})
    assert torch.equal(encoder.embed(str(pipe)), encoder.embed(str(wav)))
    writer.join()


def test_speech_units_are_those_of_the_unpadded_features():
    units = SpeechUnitExtractor(OnnxModel(DATA / "speech_tokenizer_v1.onnx"))(voice(1))
    assert units.shape == (1, 50)
    assert units.dtype == torch.int64
    assert units.max() < 128
