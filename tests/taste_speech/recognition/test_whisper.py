import numpy as np
import pytest
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

from taste_speech.errors import CheckpointError
from taste_speech.recognition.base import Recognition, split_at_quiet
from taste_speech.recognition.whisper import WhisperRecognizer
from tests.tiny import tiny_tokenizers

RATE = 16000


def noise(seconds):
    return np.random.default_rng(0).normal(0, 0.1, int(seconds * RATE)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whisper")
    tokenizer, _ = tiny_tokenizers()
    config = WhisperConfig(
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        num_mel_bins=80,
        vocab_size=len(tokenizer),
        max_source_positions=100,
        max_target_positions=20,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.convert_tokens_to_ids("<|startoftranscript|>"),
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    model = WhisperForConditionalGeneration(config)
    model.generation_config.max_length = 8
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    WhisperFeatureExtractor(chunk_length=2).save_pretrained(folder)
    return folder


@pytest.fixture
def recognizer(folder):
    return WhisperRecognizer(folder, local_files_only=True)


def hear(recognizer, *parts):
    recognizer.start()
    for part in parts:
        recognizer.accept(part)
    return recognizer.finish()


def test_transcript_has_the_words_of_its_text(recognizer):
    heard = hear(recognizer, noise(1))
    assert isinstance(heard, Recognition)
    assert [word.text for word in heard.words] == heard.text.split()


def test_parts_do_not_matter_and_start_forgets(recognizer):
    whole = hear(recognizer, noise(1))
    assert hear(recognizer, noise(1)[:5000], noise(1)[5000:]) == whole
    recognizer.accept(noise(1))
    assert hear(recognizer, noise(1)) == whole


def test_partial_runs_the_model_only_on_new_audio(recognizer, monkeypatch):
    calls = []
    monkeypatch.setattr(recognizer, "_transcribe", lambda audio: calls.append(audio.size) or "text")
    recognizer.start()
    recognizer.accept(noise(0.5))
    assert recognizer.partial() == recognizer.partial() == "text"
    recognizer.accept(noise(0.5))
    assert recognizer.finish().text == "text"
    assert calls == [8000, 16000]


def test_no_audio_no_words(recognizer):
    assert hear(recognizer) == Recognition()


def test_long_audio_goes_in_parts(recognizer, monkeypatch):
    sizes = []
    monkeypatch.setattr(recognizer, "_transcribe_part", lambda audio: sizes.append(audio.size) or "part")
    assert hear(recognizer, noise(5)).text == "part part part"
    assert sum(sizes) == 5 * RATE
    assert max(sizes) <= 2 * RATE


def test_cut_is_where_it_is_quiet():
    audio = noise(10)
    audio[6 * RATE : 6 * RATE + 4000] = 0
    first, second = split_at_quiet(audio, 8 * RATE, RATE)
    assert 6 * RATE <= first.size <= 6 * RATE + 4000
    assert first.size + second.size == audio.size


def test_missing_model():
    with pytest.raises(
        CheckpointError, match=r"cannot load the speech recognizer '/nowhere' .*give the text"
    ):
        hear(WhisperRecognizer("/nowhere", local_files_only=True), noise(1))
