"""When each phone sounds: where units pause, and for as long as phones usually last."""

import numpy as np
import pytest
import torch

from taste_speech.vocoder.configuration import FlowConfig, VoiceGeneratorConfig
from taste_speech.vocoder.flow import Flow
from taste_speech.vocoder.phone_timing import PhoneTimer, TimedUnits, timed
from taste_speech.vocoder.phones import PHONES, UNKNOWN, marked_phones, pause_after
from taste_speech.vocoder.voice_generator import VoiceGenerator

B, A, T, PAUSE = (PHONES.index(phone) for phone in ("b", "æ", "t", "pause"))
LASTS = {B: 1.0, A: 4.0, T: 2.0, PAUSE: 100.0}


def scores(phones: list[int], sureness: float = 100.0) -> np.ndarray:
    """Log-probabilities (units, phones) that are in favor of these phones."""
    logits = np.zeros((len(phones), len(PHONES)))
    logits[np.arange(len(phones)), phones] = sureness
    return torch.from_numpy(logits).log_softmax(-1).numpy().astype(np.float32)


def usual(marked: list[int]) -> np.ndarray:
    return np.array([LASTS[phone % len(PHONES)] for phone in marked])


def at_units(heard: list[int], words: list[list[int]], pace_of_units: float = 1.0) -> TimedUnits:
    """Units that are numbered, and sound like `heard`."""
    return timed(range(len(heard)), scores(heard), words, usual, pace_of_units)


def test_at_the_pace_of_the_units_they_stay_and_phones_share_them_as_they_usually_last():
    said = at_units([T] * 14, [[B, A, T]])
    assert said.ids == list(range(14))
    assert said.phones == [B] * 2 + [A] * 8 + [T] * 4
    assert said.word_ends == [14]


@pytest.mark.parametrize(
    ("pace", "units", "wanted"), [(0.0, 28, 7), (0.5, 28, 14), (1.0, 28, 28), (0.0, 3, 7), (0.5, 2, 4)]
)
def test_units_are_shortened_or_drawn_out_evenly_to_the_usual_time(pace, units, wanted):
    said = at_units([B] * units, [[B, A, T]], pace)
    assert len(said.ids) == len(said.phones) == wanted
    assert said.word_ends == [wanted]
    assert said.ids == [(2 * place + 1) * units // (2 * wanted) for place in range(wanted)]


def test_pauses_are_where_the_units_have_them_and_as_long():
    heard = [PAUSE, B, A, T, PAUSE, PAUSE, PAUSE, B, A, A, PAUSE, PAUSE]
    said = at_units(heard, [[B, A, T], [], [B, A]], 0.0)
    assert said.phones == [PAUSE, B, *[A] * 4, T, T, *[PAUSE] * 3, B, *[A] * 4, PAUSE, PAUSE]
    assert said.word_ends == [8, 8, 16]
    assert [place for place in said.ids if heard[place] == PAUSE] == [0, 4, 5, 6, 10, 11]


def test_a_silence_that_is_no_longer_than_a_plosive_is_no_pause():
    words = [[B, A, T], [B, A]]
    assert at_units([B, A, T, PAUSE, B, A], words).phones.count(PAUSE) == 0
    assert at_units([B, A, T, PAUSE, PAUSE, PAUSE, B, A], words).phones.count(PAUSE) == 3


def test_there_is_no_pause_inside_a_word():
    assert PAUSE not in at_units([B, A, PAUSE, PAUSE, PAUSE, T, T, T], [[B, A, T]]).phones


def test_a_pause_has_the_mark_of_the_word_before():
    asked = marked_phones("bæt?")
    said = at_units([PAUSE, B, A, T, PAUSE], [asked], 0.0)
    assert said.phones[0] == PAUSE
    assert said.phones[-1] == pause_after(asked[0])


def test_fewer_units_than_phones_are_shared_out_at_their_pace():
    assert at_units([T, T], [[B, A, T], [B]]).phones == [B, T]


def test_a_word_without_phones_takes_none():
    assert at_units([B, A, T], [[], [B, A, T], []], 0.0).word_ends == [0, 7, 7]
    assert at_units([B, A], [[], []]).phones == [PAUSE, PAUSE]
    assert at_units([], [[B]]) == TimedUnits([], [], [0])


def test_durations_are_asked_of_all_that_is_said_and_of_pauses_that_last():
    told = []

    def asked(marked: list[int]) -> np.ndarray:
        told.append(marked)
        return usual(marked)

    words = [marked_phones("bˈæt,"), marked_phones("bæ.")]
    timed(range(6), scores([PAUSE, B, A, T, B, A]), words, asked)
    assert told == [[PAUSE, *words[0], *words[1]]]


@torch.no_grad()
def test_phones_last_alike_before_training_and_padding_does_not_change_how_long():
    torch.manual_seed(0)
    timer = PhoneTimer().eval()
    assert timer(torch.tensor([[B, A, T]])).exp().tolist() == [pytest.approx([0.08] * 3)]
    timer.output.weight.normal_()
    phones = torch.tensor([[PAUSE, *marked_phones("bˈæt")]])
    alone = timer(phones)
    mask = torch.tensor([[1, 1, 1, 1, 0, 0]])
    padded = timer(torch.nn.functional.pad(phones, (0, 2)), mask)
    assert torch.allclose(padded[:, :4], alone, atol=1e-6)
    timer.embedding.begins_word.fill_(1.0)
    assert not torch.allclose(timer(phones), alone)


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
    said = generator.timed(range(20), [[B, A, T]])
    assert said.word_ends is not None
    assert said.phones[said.word_ends[0] - 1] == T
    assert [phone for phone in dict.fromkeys(said.phones) if phone != PAUSE] == [B, A, T]
    assert generator.timed(said.ids, [[B, A, T]], pace_of_units=1.0).ids == said.ids
    assert generator.timed(range(20), None) == TimedUnits(list(range(20)), [UNKNOWN] * 20, None)
    speaker, units = torch.ones(1, told.speaker_embed_dim), torch.arange(20)[None]

    def sound(words):
        return generator.inference(
            units, flow_embedding=speaker, generator=torch.Generator().manual_seed(0), words=words
        )[0]

    assert not torch.equal(sound([[B, A, T]]), sound([[T, A, B]]))
