import copy

import numpy as np
import pytest
import torch

from taste_speech import AudioError, TextError
from taste_speech.audio_tower.windows import EncoderWindows
from taste_speech.streaming.tokenize import StreamingTokenizer, taste_agreement, taste_tokenize

RATE = 16000
TEXT = "what time is it in the city of seven hills?"


def speech(seconds=3.0, rate=RATE, seed=0):
    """Noise whose colour and loudness change, so that its parts differ."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * rate)) / rate
    tone = np.sin(2 * np.pi * (200 + 150 * np.sin(2 * np.pi * 1.3 * t)) * t) * (
        1.2 + np.sin(2 * np.pi * 2 * t)
    )
    return (0.1 * tone + 0.01 * rng.normal(size=t.size)).astype(np.float32)


@pytest.fixture(scope="module")
def text_ids(tiny_processor):
    return tiny_processor.process_text(TEXT)["llm_token_ids"]


@pytest.fixture(scope="module")
def windowed_model(tiny_model):
    model = copy.deepcopy(tiny_model)
    model.audio_tower.windows = EncoderWindows(window=50, look_ahead=20, left=100)
    return model


@pytest.fixture(params=["one pass", "windows"])
def model(request, tiny_model, windowed_model):
    return tiny_model if request.param == "one pass" else windowed_model


def stream(model, processor, audio, rate=RATE, piece=800):
    tokenizer = StreamingTokenizer(model, processor)
    for start in range(0, audio.size, piece):
        tokenizer.append(audio[start : start + piece], rate)
    return tokenizer


def test_equals_extract_vq_for_the_same_words(model, tiny_processor, text_ids):
    taste_ids = taste_tokenize(model, tiny_processor, torch.from_numpy(speech())[None], text_ids)
    _, expected = model.extract_vq(**tiny_processor(speech(), RATE, text=TEXT))
    assert torch.equal(taste_ids, expected)
    assert taste_ids.shape == (1, text_ids.shape[1], model.num_quantizers)


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
        (torch.zeros(1, 30 * RATE + 16), RATE, r"audio lasts 30\.00 s, at most 30 s are allowed; split it"),
        (torch.zeros(2, RATE), RATE, r"audio has shape \(2, 16000\); expected \(1, samples\), one mono"),
        (torch.zeros(RATE), RATE, r"audio has shape \(16000,\); expected \(1, samples\)"),
        (torch.zeros(1, RATE), 50, "sampling rate 50 Hz; expected a whole number"),
    ],
)
def test_refuses_unusable_audio(tiny_model, tiny_processor, text_ids, audio, rate, message):
    with pytest.raises(AudioError, match=message):
        taste_tokenize(tiny_model, tiny_processor, audio, text_ids, sampling_rate=rate)


@pytest.mark.parametrize("use", ["call", "finish", "provisional"])
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
def test_refuses_unusable_text(tiny_model, tiny_processor, ids, message, use):
    with pytest.raises(TextError, match=message):
        tokenize(tiny_model, tiny_processor, ids, use)


def tokenize(model, processor, ids, use):
    if use == "call":
        return taste_tokenize(model, processor, torch.zeros(1, RATE), ids)
    return getattr(stream(model, processor, speech(1.0)), use)(ids)


@pytest.mark.parametrize("use", ["call", "finish", "provisional"])
def test_refuses_special_ids(tiny_model, tiny_processor, use):
    ids = torch.tensor([[5, tiny_processor.llm_tokenizer.bos_token_id]])
    with pytest.raises(TextError, match=r"at position 1 is the special token '<\|begin_of_text\|>'; give"):
        tokenize(tiny_model, tiny_processor, ids, use)


def test_too_many_words_for_one_utterance(tiny_model, tiny_processor):
    ids = tiny_processor.process_text(["seven"] * 200)["llm_token_ids"]
    with pytest.raises(TextError, match="the text has 1000 ASR tokens, allowed are 1 to 443"):
        taste_tokenize(tiny_model, tiny_processor, torch.zeros(1, RATE), ids)


@pytest.mark.parametrize("piece", [1, 37, 160, 4000, 10**6])
def test_streamed_equals_whole(model, tiny_processor, text_ids, piece):
    audio = speech(1.0 if piece == 1 else 3.0)[: 2000 if piece == 1 else None]
    expected = taste_tokenize(model, tiny_processor, torch.from_numpy(audio)[None], text_ids)
    assert torch.equal(stream(model, tiny_processor, audio, piece=piece).finish(text_ids), expected)


@pytest.mark.parametrize("rate", [8000, 48000])
def test_streamed_equals_whole_at_other_rates(model, tiny_processor, text_ids, rate):
    audio = speech(rate=rate)
    expected = taste_tokenize(model, tiny_processor, torch.from_numpy(audio)[None], text_ids, rate)
    tokenizer = stream(model, tiny_processor, audio, rate)
    assert torch.equal(tokenizer.finish(text_ids), expected)
    assert tokenizer.provisional(text_ids).heard_s == pytest.approx(3.0)
    # The resampler holds back some milliseconds, so the fifth window may come too late.
    assert tokenizer.windows_reused in ((4, 5) if model.audio_tower.windows else (0,))


@pytest.mark.parametrize("samples", [1, 200, 201, 400, 401, 560])
def test_shortest_utterances(model, tiny_processor, text_ids, samples):
    audio = speech()[:samples]
    expected = taste_tokenize(model, tiny_processor, torch.from_numpy(audio)[None], text_ids)
    assert torch.equal(stream(model, tiny_processor, audio, piece=100).finish(text_ids), expected)


def test_complete_windows_are_not_encoded_again(windowed_model, tiny_processor, text_ids, monkeypatch):
    tokenizer = stream(windowed_model, tiny_processor, speech())
    encoded, encode = [], windowed_model.audio_tower.encode_window
    monkeypatch.setattr(
        windowed_model.audio_tower,
        "encode_window",
        lambda features, span: encoded.append(span) or encode(features, span),
    )
    tokenizer.finish(text_ids)
    # 300 frames, windows of 50 with 20 of look-ahead: the first five were complete before the end.
    assert [span.start for span in encoded] == [250]
    assert tokenizer.windows_reused == 5


def test_a_later_peak_is_not_ignored(windowed_model, tiny_processor, text_ids):
    audio = speech()
    audio[-8000:] *= 3e4
    audio /= 3e4
    expected = taste_tokenize(windowed_model, tiny_processor, torch.from_numpy(audio)[None], text_ids)
    tokenizer = stream(windowed_model, tiny_processor, audio)
    assert torch.equal(tokenizer.finish(text_ids), expected)
    assert tokenizer.windows_reused < 5


def test_provisional_tokens_settle_on_the_final_ones(windowed_model, tiny_processor, text_ids):
    tokenizer = stream(windowed_model, tiny_processor, speech())
    provisional = tokenizer.provisional(text_ids)
    assert provisional.heard_s == pytest.approx(3.0)
    assert provisional.frozen_s == pytest.approx(2.5)
    assert taste_agreement(provisional.taste_ids, tokenizer.finish(text_ids)).words >= 0.8


def test_audio_before_the_frozen_time_is_encoded_once(tiny_model, tiny_processor, text_ids, monkeypatch):
    tokenizer = StreamingTokenizer(tiny_model, tiny_processor, preview_window_s=0.5)
    encoded, encode = [], tiny_model.audio_tower.encode_window
    monkeypatch.setattr(
        tiny_model.audio_tower,
        "encode_window",
        lambda features, span: encoded.append(span.start) or encode(features, span),
    )
    tokenizer.append(speech()[:24000])
    assert encoded == []
    assert tokenizer.provisional(text_ids).frozen_s == 0.5
    assert encoded == [0, 50, 100]
    tokenizer.append(speech()[24000:40000])
    assert tokenizer.provisional(text_ids).frozen_s == 1.5
    assert encoded[3:] == [50, 100, 150, 200]


def test_words_can_be_corrected_and_the_tokenizer_used_again(model, tiny_processor, text_ids):
    tokenizer = stream(model, tiny_processor, speech())
    other = tiny_processor.process_text("so it is")["llm_token_ids"]
    tokenizer.finish(other)
    tokenizer.provisional(other)
    expected = taste_tokenize(model, tiny_processor, torch.from_numpy(speech())[None], text_ids)
    assert torch.equal(tokenizer.finish(text_ids), expected)
    tokenizer.reset()
    assert tokenizer.heard_s == 0
    tokenizer.append(speech(1.0, rate=8000), 8000)
    audio = torch.from_numpy(speech(1.0, rate=8000))[None]
    assert torch.equal(
        tokenizer.finish(text_ids), taste_tokenize(model, tiny_processor, audio, text_ids, 8000)
    )


def test_streaming_errors(tiny_model, tiny_processor, text_ids):
    tokenizer = StreamingTokenizer(tiny_model, tiny_processor)
    with pytest.raises(AudioError, match="audio is empty"):
        tokenizer.finish(text_ids)
    with pytest.raises(AudioError, match=r"only 0\.000 s of audio so far; append more"):
        tokenizer.provisional(text_ids)
    tokenizer.append(np.zeros(0, np.float32))
    tokenizer.append(speech(1.0))
    with pytest.raises(
        AudioError, match="the utterance began at 16000 Hz and goes on at 8000 Hz; keep to one"
    ):
        tokenizer.append(speech(1.0), 8000)
    with pytest.raises(AudioError, match="audio has 1 NaN"):
        tokenizer.append(np.array([np.nan]))
    with pytest.raises(AudioError, match="the utterance is longer than 30 s; finish it and start a new one"):
        tokenizer.append(np.zeros(29 * RATE + 1, np.float32))
    assert tokenizer.heard_s == 1.0


def test_agreement():
    reference = torch.tensor([[[1, 2], [-1, -1], [3, 4]]])
    assert taste_agreement(reference, reference).words == 1.0
    near = torch.tensor([[[1, 9], [-1, -1], [3, 4]]])
    agreement = taste_agreement(near, reference)
    assert agreement.words == 0.5
    assert agreement.levels == (1.0, 0.5)
    with pytest.raises(ValueError, match="are not of the same words; tokenize both"):
        taste_agreement(reference[:, :2], reference)
    nothing = torch.full((1, 2, 2), -1)
    assert taste_agreement(nothing, nothing).levels == (1.0, 1.0)
