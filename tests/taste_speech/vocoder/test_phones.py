"""The flow is told which phone each unit belongs to."""

import numpy as np
import pytest
import torch

from taste_speech.vocoder.configuration import FlowConfig, VoiceGeneratorConfig
from taste_speech.vocoder.flow import Flow
from taste_speech.vocoder.phones import PHONES, UNKNOWN, aligned, mark_of, marked_phones
from taste_speech.vocoder.voice_generator import VoiceGenerator

B, A, T, PAUSE = (PHONES.index(phone) for phone in ("b", "æ", "t", "pause"))


ALIKE = np.ones(len(PHONES), np.float32)


def scores(phones: list[int], sureness: float = 100.0) -> np.ndarray:
    """Log-probabilities (units, phones) that are in favor of these phones."""
    logits = np.zeros((len(phones), len(PHONES)))
    logits[np.arange(len(phones)), phones] = sureness
    return torch.from_numpy(logits).log_softmax(-1).numpy().astype(np.float32)


def test_stress_and_punctuation_are_no_phones():
    assert marked_phones("bˈæt") == [B, A, T]
    assert marked_phones("—") == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([[B, A, T]], [B, B, A, A, A, T]),
        ([[B, A, T]], [PAUSE, B, A, T, T, PAUSE, PAUSE]),
        ([[B, A, T]], [B, A, T]),
        ([[B, A, T], [B, A]], [B, A, A, T, PAUSE, PAUSE, PAUSE, B, A, A]),
        ([[B, A, T], [B, A]], [B, A, A, T, B, B, A, PAUSE]),
    ],
)
def test_phones_are_where_the_units_sound_like_them(words, said):
    assert aligned(scores(said), words, ALIKE)[0] == said


@pytest.mark.parametrize(("word", "mark"), [("bat", 0), ("bat,", 1), ("bat...", 2), ('bat?"', 3), ("", 0)])
def test_the_mark_behind_a_word_is_that_of_its_phones_and_of_the_pause_after_it(word, mark):
    assert mark_of(word) == mark
    offset = mark * len(PHONES)
    assert marked_phones("bæt" + word[3:]) == [offset + B, offset + A, offset + T]
    heard = scores([PAUSE, B, A, T, PAUSE])
    assert aligned(heard, [marked_phones("bæt" + word[3:])], ALIKE)[0] == [
        PAUSE,
        *(offset + p for p in (B, A, T, PAUSE)),
    ]


def test_units_that_sound_like_something_else_do_not_change_what_is_said():
    heard = scores([B, PAUSE, A, B, A, T, T])
    assert aligned(heard, [[B, A, T]], ALIKE)[0] == [B, B, A, A, A, T, T]


def test_where_units_tell_little_phones_are_as_long_as_usual():
    usual = ALIKE.copy()
    usual[A] = 4.0
    heard = scores([B, B, B, A, T, T], sureness=0.5)
    assert aligned(heard, [[B, A, T]], usual)[0] == [B, A, A, A, A, T]


def test_a_silence_that_is_no_longer_than_a_plosive_is_no_pause():
    heard = scores([B, A, T, PAUSE, B, A])
    assert aligned(heard, [[B, A, T], [B, A]], ALIKE)[0].count(PAUSE) == 0
    heard = scores([B, A, T, PAUSE, PAUSE, PAUSE, B, A])
    assert aligned(heard, [[B, A, T], [B, A]], ALIKE)[0].count(PAUSE) == 3


def test_there_is_no_pause_inside_a_word():
    assert PAUSE not in aligned(scores([B, A, PAUSE, PAUSE, T, T, T]), [[B, A, T]], ALIKE)[0]


def test_words_end_with_their_last_phone_not_with_the_pause_after_it():
    heard = scores([B, A, T, PAUSE, PAUSE, PAUSE, B, A, A, PAUSE, PAUSE])
    assert aligned(heard, [[B, A, T], [], [B, A]], ALIKE)[1] == [3, 3, 9]
    assert aligned(heard[:0], [[B]], ALIKE) == ([], [0])


def test_fewer_units_than_phones_are_shared_out():
    assert aligned(scores([T, T]), [[B, A, T], [B]], ALIKE)[0] == [B, T]


def test_a_word_without_phones_takes_none():
    assert aligned(scores([B, A, T]), [[], [B, A, T], []], ALIKE)[0] == [B, A, T]
    assert aligned(scores([B, A]), [[], []], ALIKE)[0] == [PAUSE, PAUSE]
    assert aligned(scores([]), [[B]], ALIKE)[0] == []


@pytest.fixture
def told(small_config: VoiceGeneratorConfig) -> VoiceGeneratorConfig:
    flow = FlowConfig.model_validate(small_config.flow.model_dump() | {"phones": True})
    return small_config.model_copy(update={"flow": flow})


@torch.no_grad()
def test_the_flow_makes_another_sound_of_another_phone(told):
    torch.manual_seed(0)
    flow = Flow(told).eval()
    units, phones = torch.randint(0, 30, (1, 12)), torch.full((1, 12), B)
    unknown = flow.encode(units)
    assert torch.equal(unknown, flow.encode(units, phones=torch.full((1, 12), UNKNOWN)))
    assert not torch.allclose(unknown, flow.encode(units, phones=phones))


@torch.no_grad()
def test_words_that_are_known_reach_the_flow(told):
    torch.manual_seed(0)
    generator = VoiceGenerator(told).eval()
    phones, ends = generator.phones_of(range(20), [[B, A, T]])
    assert phones[ends[0] - 1] == T
    assert [phone for phone in dict.fromkeys(phones) if phone != PAUSE] == [B, A, T]
    assert generator.phones_of(range(20), None) == ([UNKNOWN] * 20, None)
    speaker, units = torch.ones(1, told.speaker_embed_dim), torch.arange(20)[None]

    def sound(words):
        return generator.inference(
            units, flow_embedding=speaker, generator=torch.Generator().manual_seed(0), words=words
        )[0]

    assert not torch.allclose(sound([[B, A, T]]), sound([[T, A, B]]))
