import itertools
from typing import Any

import numpy as np
import pytest
import torch

from taste_speech.errors import TextError
from taste_speech.streaming.detokenize import StreamingDetokenizer, taste_detokenize
from tests.units import uncached_logits

CHUNKS = (
    "the summer sun.",
    "what",
    "time is it",
    "in the city of",
    "seven hills?",
)


@pytest.fixture
def voice(tiny_processor: Any) -> torch.Tensor:
    return tiny_processor.voices()["ada"]


@pytest.fixture(autouse=True)
def _own_memory(tiny_model: Any) -> None:
    tiny_model.recent_replies.clear()


@pytest.fixture
def tokens(tiny_model: Any, tiny_processor: Any) -> Any:
    def make(text: str) -> tuple[torch.Tensor, torch.Tensor]:
        fields = tiny_processor.process_text(text)
        words = fields["llm_word_ids"][0]
        starts = torch.nn.functional.pad(words, (1, 0), value=-1)[:-1] != words
        generator = torch.Generator().manual_seed(len(text))
        codes = torch.randint(0, 16, (len(words), tiny_model.num_quantizers), generator=generator)
        return fields["llm_token_ids"], codes.masked_fill(~starts[:, None], -1)[None]

    return make


def make_stream(model: Any, processor: Any, voice: torch.Tensor, rate: int = 16000, seed: int = 1) -> Any:
    generator = torch.Generator().manual_seed(seed)
    return StreamingDetokenizer(model, processor, voice, rate, generator=generator)


def speak(stream: Any, tokens: Any, chunks: tuple[str, ...] = CHUNKS) -> list[Any]:
    return [stream.feed(*tokens(text), final=text == chunks[-1]) for text in chunks]


@pytest.mark.parametrize("rate", [16000, 22050, 48000])
def test_lengths_come_from_units(
    tiny_model: Any, tiny_processor: Any, voice: torch.Tensor, tokens: Any, rate: int
) -> None:
    stream = make_stream(tiny_model, tiny_processor, voice, rate)
    chunks = speak(stream, tokens)
    units = sum(chunk.speech_ids.shape[1] for chunk in chunks)
    samples = sum(len(chunk.samples) for chunk in chunks)
    frames = units * 16000 // (50 * 256)
    assert samples == frames * 256 * rate // 16000 == stream.state.n_samples
    assert all(chunk.samples.dtype == np.float32 and np.isfinite(chunk.samples).all() for chunk in chunks)
    ends = [end for chunk in chunks for end in chunk.word_ends]
    assert ends == sorted(ends)
    assert ends[-1] == samples
    assert len(ends) == len(" ".join(CHUNKS).split())


def test_sound_waits_only_until_the_next_chunk(
    tiny_model: Any, tiny_processor: Any, voice: torch.Tensor, tokens: Any
) -> None:
    stream = make_stream(tiny_model, tiny_processor, voice)
    first = stream.feed(*tokens(CHUNKS[0]))
    held = first.word_ends[-1] - len(first.samples)
    assert 0 < held <= 4 * 320 + 256
    rest = stream.feed(final=True)
    assert len(rest.samples) == stream.state.n_samples - len(first.samples) > 0
    assert rest.speech_ids.shape == (1, 0)
    assert rest.word_ends == ()
    assert len(stream.feed(final=True).samples) == 0


def test_units_see_a_bounded_window_only(
    tiny_model: Any, tiny_processor: Any, voice: torch.Tensor, tokens: Any
) -> None:
    stream = make_stream(tiny_model, tiny_processor, voice)
    config = tiny_model.config.streaming.detokenizer
    for text in CHUNKS * 2:
        stream.feed(*tokens(text))
        state = stream.state
        assert len(state.units.words) <= config.max_prev_words
        assert sum(word.end - word.start for word in state.units.words) == len(state.units.units)
        assert len(state.synthesis.units) <= config.flow_context_units + config.look_ahead_units + 4
        assert state.synthesis.f0.shape[1] <= config.vocoder_context_frames
        assert len(state.resampler.history) <= 1000


def test_units_of_a_chunk_equal_an_uncached_run_on_its_window(
    tiny_model: Any, tiny_processor: Any, voice: torch.Tensor, tokens: Any
) -> None:
    stream = StreamingDetokenizer(tiny_model, tiny_processor, voice, greedy=True)
    for text in CHUNKS[:4]:
        stream.feed(*tokens(text))
    window = stream.state.units
    chunk = stream.feed(*tokens(CHUNKS[4]))
    decoder, quantizer = tiny_model.speech_decoder, tiny_model.audio_tower.quantizer
    asr, codes = [], []
    fields = tiny_processor.process_text(CHUNKS[4])
    taste_ids = tokens(CHUNKS[4])[1]
    own_codes = taste_ids[0][taste_ids[0, :, 0] >= 0]
    for word in window.words:
        asr += word.ids
        codes += [word.taste] * len(word.ids)
    asr += fields["asr_token_ids"][0].tolist()
    codes += [tuple(own_codes[word].tolist()) for word in fields["asr_word_ids"][0].tolist()]
    ids = [*window.units, *chunk.speech_ids[0].tolist()]
    every = uncached_logits(
        decoder,
        voice,
        torch.tensor([asr]),
        quantizer.output_from_indices(torch.tensor(codes))[None],
        torch.tensor([ids]),
    )
    logits = every[0, len(window.units) :]
    best = logits[: chunk.speech_ids.shape[1], :-1].argmax(-1)
    assert best.tolist() == chunk.speech_ids[0].tolist()


def test_state_goes_back_and_on(
    tiny_model: Any, tiny_processor: Any, voice: torch.Tensor, tokens: Any
) -> None:
    stream = StreamingDetokenizer(tiny_model, tiny_processor, voice, greedy=True)
    stream.feed(*tokens(CHUNKS[0]))
    saved = stream.state.clone()
    one = stream.feed(*tokens(CHUNKS[1]))
    stream.feed(*tokens(CHUNKS[2]))
    stream.state = saved.clone()
    again = stream.feed(*tokens(CHUNKS[1]))
    np.testing.assert_array_equal(one.samples, again.samples)
    stream.reset()
    assert stream.state.n_samples == stream.state.n_units == 0


def test_two_streams_interleaved_equal_two_alone(tiny_model: Any, tiny_processor: Any, tokens: Any) -> None:
    voices = tiny_processor.voices()
    alone = [
        speak(make_stream(tiny_model, tiny_processor, voices[name], seed=seed), tokens)
        for name, seed in (("ada", 1), ("ben", 2))
    ]
    streams = [
        make_stream(tiny_model, tiny_processor, voices[name], seed=seed)
        for name, seed in (("ada", 1), ("ben", 2))
    ]
    for index, text in enumerate(CHUNKS):
        for stream, expected in zip(streams, alone, strict=True):
            chunk = stream.feed(*tokens(text), final=index == len(CHUNKS) - 1)
            np.testing.assert_array_equal(chunk.samples, expected[index].samples)


def run_function(
    model: Any, processor: Any, voice: torch.Tensor, tokens: Any, remember: bool = True
) -> list[dict[str, Any]]:
    prev: list[Any] = [None, None, None]
    milliseconds, results = 0, []
    for text in CHUNKS:
        if not remember:
            model.recent_replies.clear()
        new = tokens(text)
        result = taste_detokenize(model, processor, voice, *prev, milliseconds, *new, greedy=True)
        results.append(result)
        parts = (*new, result["speech_ids"])
        prev = [p if old is None else torch.cat([old, p], 1) for old, p in zip(prev, parts, strict=True)]
        milliseconds += result["chunk_duration_ms"]
    return results


def test_function_equals_the_stateful_form(
    tiny_model: Any, tiny_processor: Any, voice: torch.Tensor, tokens: Any
) -> None:
    stream = StreamingDetokenizer(tiny_model, tiny_processor, voice, greedy=True)
    results = run_function(tiny_model, tiny_processor, voice, tokens)
    for text, result in zip(CHUNKS, results, strict=True):
        chunk = stream.feed(*tokens(text), final=True)
        assert torch.equal(chunk.speech_ids, result["speech_ids"])
        np.testing.assert_array_equal(chunk.samples, result["audio_waveform"][0].numpy())
        assert result["sampling_rate"] == 16000
    total = stream.state.n_samples
    assert sum(result["chunk_duration_ms"] for result in results) == round(total / 16)


def test_function_goes_on_from_a_state(
    tiny_model: Any, tiny_processor: Any, voice: torch.Tensor, tokens: Any
) -> None:
    expected = run_function(tiny_model, tiny_processor, voice, tokens)
    state = None
    for text, result in zip(CHUNKS, expected, strict=True):
        tiny_model.recent_replies.clear()
        nothing = (None, None, None, None)
        one, again = (
            taste_detokenize(
                tiny_model, tiny_processor, voice, *nothing, *tokens(text), state=state, greedy=True
            )
            for _ in range(2)
        )
        for output in (one, again):
            assert torch.equal(output["audio_waveform"], result["audio_waveform"])
            assert output["chunk_duration_ms"] == result["chunk_duration_ms"]
        state = one["state"]
    assert not tiny_model.recent_replies  # a call with a state leaves nothing on the model


def test_function_without_memory_gives_the_same_units_and_lengths(
    tiny_model: Any, tiny_processor: Any, voice: torch.Tensor, tokens: Any
) -> None:
    with_memory = run_function(tiny_model, tiny_processor, voice, tokens)
    without = run_function(tiny_model, tiny_processor, voice, tokens, remember=False)
    for index, (one, other) in enumerate(zip(with_memory, without, strict=True)):
        if index < 3:  # until words leave the window, its division into units plays no part
            assert torch.equal(one["speech_ids"], other["speech_ids"])
            assert one["audio_waveform"].shape == other["audio_waveform"].shape
        # What the units say is there without memory: only the seams may differ.
        if index == 1:
            torch.testing.assert_close(one["audio_waveform"], other["audio_waveform"], rtol=0, atol=1e-3)


def test_seams_do_not_click(tiny_model: Any, tiny_processor: Any, voice: torch.Tensor, tokens: Any) -> None:
    for final in (False, True):
        stream = make_stream(tiny_model, tiny_processor, voice)
        pieces = [stream.feed(*tokens(text), final=final).samples for text in CHUNKS * 2]
        jumps = [np.abs(np.diff(piece)) for piece in pieces if len(piece) > 1]
        inside = np.concatenate(jumps)
        seams = [abs(b[0] - a[-1]) for a, b in itertools.pairwise(p for p in pieces if len(p))]
        assert len(seams) > 6
        assert max(seams) <= inside.max()
        assert np.mean(seams) < 3 * inside.mean()


def test_whole_reply_in_one_chunk_or_many_has_the_same_rhythm(
    tiny_model: Any, tiny_processor: Any, voice: torch.Tensor, tokens: Any
) -> None:
    """The same units sound the same whether they came in one chunk or in many, seams apart."""
    stream = make_stream(tiny_model, tiny_processor, voice)
    synthesizer = stream._synthesizer
    units = torch.randint(0, 64, (120,), generator=torch.Generator().manual_seed(0)).tolist()
    whole, _ = synthesizer.extend(units, synthesizer.start(), hold_back=False)
    state, pieces = synthesizer.start(), []
    for begin in range(0, 120, 30):
        sound, state = synthesizer.extend(units[begin : begin + 30], state, hold_back=begin < 90)
        pieces.append(sound.samples)
    joined = torch.cat(pieces)
    assert joined.shape == whole.samples.shape == (120 * 320,)
    first = len(pieces[0])
    correlation = torch.corrcoef(torch.stack([joined[: first - 2000], whole.samples[: first - 2000]]))[0, 1]
    assert float(correlation) > 0.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, c: (t[0], c), r"text_ids has shape \(\d+,\); expected \(1, S\)"),
        (lambda t, c: (t.expand(2, -1), c), r"text_ids has a batch of 2; .* shape \(1, S\)"),
        (lambda t, c: (t, None), r"taste_ids are missing; give \(1, S, 3\) codes"),
        (lambda t, c: (None, c), "taste_ids without text_ids"),
        (lambda t, c: (t, c[:, :, :2]), "taste_ids has 2 levels; the checkpoint has 3"),
        (lambda t, c: (t.float(), c), "text_ids has dtype torch.float32; give integers"),
        (lambda t, c: (t, c.clamp(max=16).where(c < 0, 16)), "taste_ids holds 16; codes are 0 to 15"),
        (lambda t, c: (t, c - 1), "taste_ids holds -2; codes are 0 or more"),
        (lambda t, c: (t, torch.full_like(c, -1)), "text token 0 starts a word and has no taste token"),
        (lambda t, c: (t, torch.cat([c[..., :2], c[..., 2:] * 0 - 1], -1)), "-1 on some levels only"),
    ],
)
def test_wrong_tokens(
    tiny_model: Any, tiny_processor: Any, voice: torch.Tensor, tokens: Any, change: Any, message: str
) -> None:
    stream = make_stream(tiny_model, tiny_processor, voice)
    with pytest.raises(ValueError, match=message):
        stream.feed(*change(*tokens("the summer sun")))
    assert stream.state.n_units == 0


def test_special_ids(tiny_model: Any, tiny_processor: Any, voice: torch.Tensor) -> None:
    stream = make_stream(tiny_model, tiny_processor, voice)
    special = torch.tensor([[tiny_model.config.spoken_lm_config.sos_id]])
    with pytest.raises(TextError, match="is the special token"):
        stream.feed(special, torch.zeros(1, 1, 3, dtype=torch.long))


def test_taste_inside_a_word(tiny_model: Any, tiny_processor: Any, voice: torch.Tensor) -> None:
    text_ids = tiny_processor.process_text("xylophone")["llm_token_ids"]
    assert text_ids.shape[1] > 1
    stream = make_stream(tiny_model, tiny_processor, voice)
    with pytest.raises(ValueError, match="text token 1 is inside a word and has a taste token"):
        stream.feed(text_ids, torch.zeros(1, text_ids.shape[1], 3, dtype=torch.long))


@pytest.mark.parametrize(
    ("speaker", "message"),
    [
        (torch.ones(2, 16), r"speaker_embeds have shape \(2, 16\); expected \(1, 16\)"),
        (torch.zeros(1, 16), "speaker_embeds are zero or not finite"),
        (torch.full((1, 16), torch.nan), "speaker_embeds are zero or not finite"),
    ],
)
def test_wrong_speaker(tiny_model: Any, tiny_processor: Any, speaker: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StreamingDetokenizer(tiny_model, tiny_processor, speaker)


def test_wrong_rate(tiny_model: Any, tiny_processor: Any, voice: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="out_sampling_rate is 100 Hz; give 4000 to 192000"):
        StreamingDetokenizer(tiny_model, tiny_processor, voice, 100)


@pytest.mark.parametrize(
    ("units", "milliseconds", "message"),
    [
        (None, 0, "prev_text_ids without prev_speech_ids"),
        (torch.tensor([[64]]), 20, "prev_speech_ids range from 64 to 64; units are 0 to 63"),
        (torch.tensor([3, 4]), 20, r"prev_speech_ids have shape \(2,\)"),
        (torch.zeros(1, 40, dtype=torch.long), 0, "prev_audio_ms is 0, but prev_speech_ids last 800 ms"),
    ],
)
def test_history_that_does_not_fit(
    tiny_model: Any,
    tiny_processor: Any,
    voice: torch.Tensor,
    tokens: Any,
    units: Any,
    milliseconds: int,
    message: str,
) -> None:
    old, new = tokens("the summer"), tokens("sun")
    with pytest.raises(ValueError, match=message):
        taste_detokenize(tiny_model, tiny_processor, voice, *old, units, milliseconds, *new)


def test_units_without_their_words(
    tiny_model: Any, tiny_processor: Any, voice: torch.Tensor, tokens: Any
) -> None:
    units = torch.zeros(1, 40, dtype=torch.long)
    with pytest.raises(ValueError, match="prev_speech_ids without prev_text_ids"):
        taste_detokenize(tiny_model, tiny_processor, voice, None, None, units, 800, *tokens("sun"))
