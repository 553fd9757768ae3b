import numpy as np
import pytest
import torch

from taste_speech import AudioError, TextError
from taste_speech.streaming.tokenize import taste_tokenize

RATE = 16000
TEXT = "what time is it in the city of seven hills?"


def speech(seconds=3.0, rate=RATE, seed=0):
    """Noise whose color and loudness change, so that its parts differ."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * rate)) / rate
    tone = np.sin(2 * np.pi * (200 + 150 * np.sin(2 * np.pi * 1.3 * t)) * t) * (
        1.2 + np.sin(2 * np.pi * 2 * t)
    )
    return (0.1 * tone + 0.01 * rng.normal(size=t.size)).astype(np.float32)


@pytest.fixture(scope="module")
def text_ids(tiny_processor):
    return tiny_processor.process_text(TEXT)["llm_token_ids"]


def test_equals_extract_vq_for_the_same_words(tiny_model, tiny_processor, text_ids):
    taste_ids = taste_tokenize(tiny_model, tiny_processor, torch.from_numpy(speech())[None], text_ids)
    _, expected = tiny_model.extract_vq(**tiny_processor(speech(), RATE, text=TEXT))
    assert torch.equal(taste_ids, expected)
    assert taste_ids.shape == (1, text_ids.shape[1], tiny_model.num_quantizers)


def test_each_word_has_its_token_at_its_first_text_token(tiny_model, tiny_processor, text_ids):
    taste_ids = taste_tokenize(tiny_model, tiny_processor, torch.from_numpy(speech())[None], text_ids)
    starts = [word.start for word in tiny_processor.llm_ids_to_words(text_ids)]
    assert (taste_ids[0, :, 0] >= 0).nonzero().flatten().tolist() == starts
    assert len(starts) < text_ids.shape[1]
    assert len({tuple(row) for row in taste_ids[0, starts].tolist()}) > 1


def test_text_without_a_leading_blank(tiny_model, tiny_processor):
    ids = torch.tensor([tiny_processor.llm_tokenizer.encode("so it is", add_special_tokens=False)])
    taste_ids = taste_tokenize(tiny_model, tiny_processor, torch.from_numpy(speech())[None], ids)
    assert int((taste_ids[0, :, 0] >= 0).sum()) == 3
    same = tiny_processor.process_text("so it is")["llm_token_ids"]
    expected = taste_tokenize(tiny_model, tiny_processor, torch.from_numpy(speech())[None], same)
    assert torch.equal(taste_ids[taste_ids >= 0], expected[expected >= 0])


@pytest.mark.parametrize("rate", [8000, 24000, 44100, 48000])
def test_other_rates_are_resampled(tiny_model, tiny_processor, text_ids, rate):
    audio = torch.from_numpy(speech(rate=rate))[None]
    taste_ids = taste_tokenize(tiny_model, tiny_processor, audio, text_ids, sampling_rate=rate)
    inputs = tiny_processor(speech(rate=rate), rate, text=TEXT)
    assert inputs["audio_feature_lengths"].item() == pytest.approx(300, abs=1)
    assert torch.equal(taste_ids, tiny_model.extract_vq(**inputs)[1])


def test_silence_is_valid(tiny_model, tiny_processor, text_ids):
    assert (taste_tokenize(tiny_model, tiny_processor, torch.zeros(1, RATE), text_ids)[0, 0] >= 0).all()


@pytest.mark.parametrize(
    ("audio", "rate", "message"),
    [
        (torch.zeros(1, 0), RATE, "audio is empty; expected at least one sample"),
        (torch.full((1, 9), torch.nan), RATE, "audio has 9 NaN or infinite samples"),
        (torch.full((1, 9), torch.inf), RATE, "audio has 9 NaN or infinite samples"),
        (torch.zeros(1, 30 * RATE + 16), RATE, r"audio lasts 30\.00 s; at most 30 s are allowed; split it"),
        (torch.zeros(2, RATE), RATE, r"audio has shape \(2, 16000\); expected \(1, samples\), one mono"),
        (torch.zeros(RATE), RATE, r"audio has shape \(16000,\); expected \(1, samples\)"),
        (torch.zeros(1, RATE), 50, "sampling rate 50 Hz; expected a whole number"),
    ],
)
def test_refuses_unusable_audio(tiny_model, tiny_processor, text_ids, audio, rate, message):
    with pytest.raises(AudioError, match=message):
        taste_tokenize(tiny_model, tiny_processor, audio, text_ids, sampling_rate=rate)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (torch.zeros(1, 0, dtype=torch.long), "text_ids are empty; give the LLM ids of at least one word"),
        (torch.zeros(2, 3, dtype=torch.long), r"text_ids have shape \(2, 3\) and type torch.int64; expected"),
        (torch.zeros(3, dtype=torch.long), r"text_ids have shape \(3,\)"),
        (torch.zeros(1, 3), r"type torch\.float32; expected \(1, S\) integer ids"),
        (torch.tensor([[-1]]), "text id -1 at position 0 is outside the vocabulary"),
        (torch.tensor([[10**6]]), "text id 1000000 at position 0 is outside the vocabulary"),
    ],
)
def test_refuses_unusable_text(tiny_model, tiny_processor, ids, message):
    with pytest.raises(TextError, match=message):
        taste_tokenize(tiny_model, tiny_processor, torch.zeros(1, RATE), ids)


def test_refuses_special_ids(tiny_model, tiny_processor):
    ids = torch.tensor([[5, tiny_processor.llm_tokenizer.bos_token_id]])
    with pytest.raises(TextError, match=r"at position 1 is the special token '<\|begin_of_text\|>'; give"):
        taste_tokenize(tiny_model, tiny_processor, torch.zeros(1, RATE), ids)


def test_too_many_words_for_one_utterance(tiny_model, tiny_processor):
    ids = tiny_processor.process_text(["seven"] * 200)["llm_token_ids"]
    with pytest.raises(TextError, match="the text has 1000 ASR tokens; expected 1 to 443"):
        taste_tokenize(tiny_model, tiny_processor, torch.zeros(1, RATE), ids)


@pytest.mark.parametrize("samples", [1, 200, 201, 400, 401, 560])
def test_shortest_utterances(tiny_model, tiny_processor, text_ids, samples):
    audio = torch.from_numpy(speech()[:samples])[None]
    taste_ids = taste_tokenize(tiny_model, tiny_processor, audio, text_ids)
    assert (taste_ids[0, :, 0] >= 0).sum() == len(TEXT.split())
