"""Words with taste tokens -> units, chunk by chunk: phones in time."""

import copy
from itertools import groupby
from typing import Any

import pytest
import torch

from taste_speech.phones import MARKED_PHONES, PHONES, pause_after
from taste_speech.speech_decoder.phone_decoder import PhoneDecoder
from taste_speech.streaming.detokenize import StreamingDetokenizer, taste_detokenize
from taste_speech.streaming.unit_stream import (
    ChunkUnits,
    PhoneStream,
    UnitStream,
    UnitStreamState,
    asr_words,
    audio_embeds,
    word_units,
)
from taste_speech.words import Word

CHUNKS = ("the owl", "lives in the old", "city, and I", "think it is late.")
LEAD, REST = 2, 5
"""Units of silence before the first word of a reply and after its last one."""


@pytest.fixture
def stream(tiny_phones_model: Any) -> PhoneStream:
    """All of the reply is in its window."""
    made = word_units(tiny_phones_model, torch.ones(1, 16), 100)
    assert isinstance(made, PhoneStream)
    return made


def words_of(processor: Any, text: str, before: tuple[Word, ...] = ()) -> list[Word]:
    """The words of a text with phones and taste tokens that depend on the words only."""
    tastes = ((len(word) % 16, ord(word[0]) % 16, 3) for word in text.split())
    given = [Word(word, taste=taste) for word, taste in zip(text.split(), tastes, strict=True)]
    return asr_words(processor, given, before)


def speak(stream: PhoneStream, processor: Any, chunks: tuple[str, ...] = CHUNKS) -> list[ChunkUnits]:
    state, said = UnitStreamState(), []
    for text in chunks:
        words = words_of(processor, text, state.words)
        chunk, state = stream.extend(words, state, final=text == chunks[-1])
        said.append(chunk)
    return said


def sounding(ids: list[int]) -> list[int]:
    """The phones that follow one another, without pauses."""
    return [phone for phone, _ in groupby(i % MARKED_PHONES for i in ids) if phone % len(PHONES)]


def test_the_decoder_tells_which_units_a_checkpoint_has(tiny_model: Any, tiny_phones_model: Any) -> None:
    voice = torch.ones(1, 16)
    assert isinstance(word_units(tiny_model, voice, 2), UnitStream)
    assert isinstance(word_units(tiny_phones_model, voice, 2), PhoneStream)


def test_a_word_has_its_vector_at_each_of_its_tokens(tiny_phones_model: Any) -> None:
    quantizer = tiny_phones_model.audio_tower.quantizer
    words = [Word("a", (1, 2, 3), (0, 1, 2)), Word("b", (4,), (5, 6, 7))]
    found = audio_embeds(quantizer, words)
    vectors = quantizer.output_from_indices(torch.tensor([word.taste for word in words]))
    torch.testing.assert_close(found, vectors[[0, 0, 0, 1]][None])


def test_words_are_pronounced_as_those_before_them_ask(tiny_phones_processor: Any) -> None:
    first, *whole = words_of(tiny_phones_processor, "I live")
    later, alone = (words_of(tiny_phones_processor, "live", before) for before in ((first,), ()))
    assert later == whole
    assert alone != whole


def test_chunks_join_to_all_the_phones_of_the_reply(stream: PhoneStream, tiny_phones_processor: Any) -> None:
    chunks = speak(stream, tiny_phones_processor)
    words: list[Word] = []
    for text in CHUNKS:
        words += words_of(tiny_phones_processor, text, tuple(words))
    ids = [i for chunk in chunks for i in chunk.ids]
    said = [phone for phone, _ in groupby(phone for word in words for phone in word.ids)]
    assert sounding(ids) == said


def test_only_a_reply_begins_with_silence(tiny_phones_model: Any, tiny_phones_processor: Any) -> None:
    decoder = copy.deepcopy(tiny_phones_model.speech_decoder)
    with torch.no_grad():
        decoder.output.bias[1] = -1e3  # it never pauses
    stream = PhoneStream(decoder, tiny_phones_model.audio_tower.quantizer, 2)
    chunks = [chunk.ids for chunk in speak(stream, tiny_phones_processor)]
    assert chunks[0][:LEAD] == [0] * LEAD
    chunks[0] = chunks[0][LEAD:]
    chunks[-1] = chunks[-1][:-REST]
    assert all(i % len(PHONES) for ids in chunks for i in ids)


def test_word_ends_rise_within_their_chunk_to_the_end_of_its_words(
    stream: PhoneStream, tiny_phones_processor: Any
) -> None:
    chunks = speak(stream, tiny_phones_processor)
    for text, chunk in zip(CHUNKS, chunks, strict=True):
        assert len(chunk.word_ends) == len(text.split())
        assert chunk.word_ends == sorted(set(chunk.word_ends))
        assert chunk.word_ends[0] > 0
        silence = REST if text == CHUNKS[-1] else 0
        assert chunk.word_ends[-1] == len(chunk.ids) - silence
        parts = zip([0, *chunk.word_ends], chunk.word_ends, strict=False)
        for word, (begin, end) in zip(text.split(), parts, strict=True):
            own = words_of(tiny_phones_processor, word)[0].ids[-1] % len(PHONES)
            assert chunk.ids[end - 1] % len(PHONES) == own or word in ("the", "and")
            assert begin < end


def test_a_reply_ends_with_the_silence_behind_its_last_word(
    stream: PhoneStream, tiny_phones_processor: Any
) -> None:
    words = words_of(tiny_phones_processor, "it is late?")
    open_end, state = stream.extend(words, UnitStreamState())
    closed, _ = stream.extend(words, UnitStreamState(), final=True)
    silence = [pause_after(words[-1].ids[-1])] * REST
    assert silence[0] != 0
    assert closed == ChunkUnits([*open_end.ids, *silence], open_end.word_ends)
    assert stream.extend([], state, final=True)[0] == ChunkUnits(silence, [])
    assert stream.extend([], state)[0] == ChunkUnits([], [])


@pytest.mark.parametrize("size", [0, 1, 2])
def test_the_window_holds_the_last_words(
    tiny_phones_model: Any, tiny_phones_processor: Any, size: int
) -> None:
    stream = PhoneStream(
        tiny_phones_model.speech_decoder, tiny_phones_model.audio_tower.quantizer, max_prev_words=size
    )
    words = words_of(tiny_phones_processor, "the owl lives in")
    _, state = stream.extend(words, UnitStreamState())
    assert state.words == tuple(words[len(words) - size :])
    assert state == stream.recall(words, [1, 2, 3])


def test_words_of_a_chunk_are_said_as_what_was_before_them_asks(
    tiny_phones_model: Any, tiny_phones_processor: Any
) -> None:
    decoder: PhoneDecoder = tiny_phones_model.speech_decoder
    stream = PhoneStream(decoder, tiny_phones_model.audio_tower.quantizer, max_prev_words=2)
    before, words = (words_of(tiny_phones_processor, text) for text in ("one old owl", "sees it"))
    _, state = stream.extend(before, UnitStreamState())
    chunk, _ = stream.extend(words, state)
    window = [*before[1:], *words]
    phones = torch.tensor([phone for word in window for phone in word.ids])
    vectors = audio_embeds(tiny_phones_model.audio_tower.quantizer, window)[0]
    said = decoder.say(phones, vectors, sum(len(word.ids) for word in before[1:]))
    assert chunk.ids == said.ids
    alone, _ = stream.extend(words, UnitStreamState())
    assert alone.ids[LEAD:] != chunk.ids


def tokens(processor: Any, text: str) -> tuple[torch.Tensor, torch.Tensor]:
    fields = processor.process_text(text)
    words = fields["llm_word_ids"][0]
    starts = torch.nn.functional.pad(words, (1, 0), value=-1)[:-1] != words
    codes = torch.arange(len(words) * 3).view(-1, 3) % 16
    return fields["llm_token_ids"], codes.masked_fill(~starts[:, None], -1)[None]


def test_a_reply_of_phones_has_sound_for_each_unit(
    tiny_phones_model: Any, tiny_phones_processor: Any
) -> None:
    voice = tiny_phones_processor.voices()["ada"]
    stream = StreamingDetokenizer(tiny_phones_model, tiny_phones_processor, voice, 16000)
    chunks = [stream.feed(*tokens(tiny_phones_processor, text), final=text == CHUNKS[-1]) for text in CHUNKS]
    units = sum(chunk.speech_ids.shape[1] for chunk in chunks)
    assert sum(len(chunk.samples) for chunk in chunks) == units * 16000 // (50 * 256) * 256
    ends = [end for chunk in chunks for end in chunk.word_ends]
    assert ends == sorted(set(ends))
    assert len(ends) == len(" ".join(CHUNKS).split())
    assert ends[-1] == (units - REST) * 320


def test_only_a_reply_that_ends_has_silence_at_its_end(
    tiny_phones_model: Any, tiny_phones_processor: Any
) -> None:
    """A call of `taste_detokenize` is one of several for a reply, and does not know which is the last."""
    tiny_phones_model.recent_replies.clear()
    voice = tiny_phones_processor.voices()["ada"]
    stream = StreamingDetokenizer(tiny_phones_model, tiny_phones_processor, voice, 16000)
    state = None
    for text in CHUNKS[:2]:
        new = tokens(tiny_phones_processor, text)
        none = (None, None, None, None)
        said = taste_detokenize(tiny_phones_model, tiny_phones_processor, voice, *none, *new, state=state)
        state = said["state"]
        assert said["speech_ids"].tolist() == stream.feed(*new).speech_ids.tolist()
