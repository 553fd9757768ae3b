"""Phones in time: how long each one lasts, where the speaker pauses, and how high the voice is."""

import math
from collections.abc import Sequence
from itertools import groupby, pairwise

import pytest
import torch

from taste_speech.configuration_sections import SpeechDecoderConfig, UnitDecodingConfig
from taste_speech.phones import MARKED_PHONES, UNITS, marked_phones, pause_after
from taste_speech.speech_decoder.phone_decoder import Manner, PhoneDecoder
from taste_speech.speech_decoder.phone_embedding import is_voiced

WIDTH = 8
CONFIG = SpeechDecoderConfig(
    audio_encoder_input_size=WIDTH,
    encoder_input_size=16,
    encoder__num_blocks=2,
    text_token_size=MARKED_PHONES,
    speech_token_size=UNITS,
)
LEAD, REST = 2, 5
"""Units of silence before the first word and after the last one: 40 and 100 ms."""
WORDS = [marked_phones(word) for word in ("bˈæt,", "stˈɑp", "mˈun.")]
PHONES = [phone for word in WORDS for phone in word]
FIRSTS = [sum(len(word) for word in WORDS[:index]) for index in range(len(WORDS))]


@pytest.fixture
def decoder() -> PhoneDecoder:
    """One that has something to tell of each phone."""
    torch.manual_seed(0)
    made = PhoneDecoder(CONFIG, UnitDecodingConfig()).eval()
    torch.nn.init.normal_(made.output.weight, std=0.3)
    return made


def audio(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed))


def telling(
    decoder: PhoneDecoder,
    seconds: Sequence[float],
    pauses: Sequence[float] = (),
    pause_s: float = 0.2,
) -> None:
    """Let it predict these durations, and pauses where their logits are positive."""
    logits = torch.tensor([*pauses, *[-1.0] * (len(seconds) - len(pauses))])
    pitch = torch.zeros(len(seconds))
    manner = Manner(torch.tensor(seconds).log(), logits, torch.full_like(logits, math.log(pause_s)), pitch)
    whole = Manner(*(value[None] for value in vars(manner).values()))
    decoder.forward = lambda *_: whole  # type: ignore[method-assign]


def phones_of(units: Sequence[int]) -> list[tuple[int, int]]:
    """The marked phones of units, and how many units of each follow one another."""
    return [(phone, len(list(same))) for phone, same in groupby(unit % MARKED_PHONES for unit in units)]


@pytest.mark.parametrize("seconds", [0.029, 0.031, 0.07])
def test_rounded_durations_add_up_and_never_drift(decoder: PhoneDecoder, seconds: float) -> None:
    phones = torch.tensor(PHONES * 6)
    telling(decoder, [seconds] * len(phones))
    said = decoder.say(phones, audio(len(phones)))
    due = [LEAD + 50 * seconds * (place + 1) for place in range(len(phones))]
    assert max(abs(end - wanted) for end, wanted in zip(said.ends, due, strict=True)) <= 0.5 + 1e-3
    assert said.ends[-1] == len(said.ids)


def test_each_phone_that_sounds_has_a_unit_and_takes_it_from_those_after_it(decoder: PhoneDecoder) -> None:
    phones = torch.tensor(PHONES)
    seconds = [1e-4] * 6 + [0.2] * (len(phones) - 6)
    telling(decoder, seconds)
    said = decoder.say(phones, audio(len(phones)))
    assert said.ends[:6] == [LEAD + 1 + place for place in range(6)]
    assert said.ends[-1] == round(LEAD + 50 * sum(seconds))


def test_a_word_without_a_sound_has_no_units(decoder: PhoneDecoder) -> None:
    phones = torch.tensor([*WORDS[0], 0, *WORDS[1]])
    telling(decoder, [0.06] * len(phones), pauses=[1.0] * 4)
    said = decoder.say(phones, audio(len(phones)))
    assert [phone for phone, _ in phones_of(said.ids)] == [0, *WORDS[0], *WORDS[1]]
    assert said.ends[3] == said.ends[2]


def test_nothing_lasts_longer_than_a_second(decoder: PhoneDecoder) -> None:
    telling(decoder, [9.0, 0.06, 0.06, 0.06], pauses=[-1.0, -1.0, -1.0, 1.0], pause_s=9.0)
    said = decoder.say(torch.tensor([*WORDS[0], WORDS[1][0]]), audio(4))
    assert said.ends == [LEAD + 50, LEAD + 53, LEAD + 56, LEAD + 56 + 50 + 3]


def test_a_pause_is_before_a_word_that_asks_for_it_and_nowhere_else(decoder: PhoneDecoder) -> None:
    inside = [place for place in range(len(PHONES)) if place not in FIRSTS]
    asked = {*inside, FIRSTS[1]}  # those inside words are not to be heard
    telling(decoder, [0.06] * len(PHONES), [1.0 if place in asked else -1.0 for place in range(len(PHONES))])
    found = phones_of(decoder.say(torch.tensor(PHONES), audio(len(PHONES))).ids)
    pause = (pause_after(WORDS[0][-1]), 10)
    assert pause[0] != 0  # that of a comma
    assert found == [
        (0, LEAD),
        *((phone, 3) for phone in WORDS[0]),
        pause,
        *((phone, 3) for phone in (*WORDS[1], *WORDS[2])),
    ]


def test_an_undecided_pause_is_none(decoder: PhoneDecoder) -> None:
    telling(decoder, [0.06] * len(PHONES), [0.0] * len(PHONES))
    found = phones_of(decoder.say(torch.tensor(PHONES), audio(len(PHONES))).ids)
    assert [phone for phone, _ in found] == [0, *PHONES]


def test_taste_vectors_change_durations_and_the_pitch_of_voiced_phones_only(decoder: PhoneDecoder) -> None:
    phones = torch.tensor(PHONES)
    one, other = (decoder.say(phones, audio(len(phones), seed)) for seed in (0, 1))
    lengths, levels = [], []
    for said in (one, other):
        pauses = {pause_after(phone) for phone in (0, *PHONES)}
        found = [unit for unit in said.ids if unit not in pauses]
        assert list(dict.fromkeys(unit % MARKED_PHONES for unit in found)) == PHONES
        lengths.append([count for phone, count in phones_of(found)])
        levels.append([said.ids[end - 1] // MARKED_PHONES for end in said.ends])
    assert lengths[0] != lengths[1]
    voiced = is_voiced(phones).tolist()
    assert not all(voiced)
    for at, before, after in zip(voiced, *levels, strict=True):
        assert (before > 0) == (after > 0) == at
    assert levels[0] != levels[1]


def test_phones_that_were_said_are_left_out_and_change_how_the_others_are_said(decoder: PhoneDecoder) -> None:
    phones, vectors, before = torch.tensor(PHONES), audio(len(PHONES)), FIRSTS[1]
    whole, rest = decoder.say(phones, vectors), decoder.say(phones, vectors, before)
    assert len(rest.ends) == len(phones) - before
    assert rest.ends[-1] == len(rest.ids)
    begin = whole.ends[before - 1]
    # Each is rounded from where it begins.
    assert list(dict.fromkeys(rest.ids)) == list(dict.fromkeys(whole.ids[begin:]))
    assert all(
        abs(one - begin - other) <= 1 for one, other in zip(whole.ends[before:], rest.ends, strict=True)
    )
    alone = decoder.say(phones[before:], vectors[before:])
    assert alone.ids[LEAD:] != rest.ids


def test_phones_that_were_said_leave_the_same_units_to_the_others(decoder: PhoneDecoder) -> None:
    telling(decoder, [0.04, 0.06, 0.02, 0.08] * 3, pauses=[1.0] * len(PHONES))
    phones, vectors = torch.tensor([*PHONES, *WORDS[0]])[:12], audio(12)
    whole = decoder.say(phones, vectors)
    for before in FIRSTS[1:]:
        rest = decoder.say(phones, vectors, before)
        begin = whole.ends[before - 1]
        assert rest.ids == whole.ids[begin:]
        assert rest.ends == [end - begin for end in whole.ends[before:]]


def test_silence_is_around_what_is_said(decoder: PhoneDecoder) -> None:
    telling(decoder, [0.06] * len(PHONES), pauses=[1.0])  # how long the first pause is, is not asked
    units = decoder.generate(torch.zeros(1, 4), torch.tensor([PHONES]), audio(len(PHONES))[None])
    assert units.dtype == torch.int32
    found = phones_of(units[0].tolist())
    assert found[0] == (0, LEAD)
    assert found[-1] == (pause_after(PHONES[-1]), REST)
    assert units.shape == (1, LEAD + 3 * len(PHONES) + REST)
    assert decoder.rest([]) == [0] * REST


def test_one_item_is_said_at_a_time(decoder: PhoneDecoder) -> None:
    with pytest.raises(ValueError, match="asr_token_ids has a batch of 2; give one item at a time"):
        decoder.generate(torch.zeros(2, 4), torch.tensor([PHONES] * 2), audio(len(PHONES)).expand(2, -1, -1))


@torch.no_grad()
def test_padding_changes_nothing(decoder: PhoneDecoder) -> None:
    phones, vectors = torch.tensor([PHONES]), audio(len(PHONES))[None]
    alone = decoder(phones, vectors)
    mask = torch.arange(len(PHONES) + 4)[None] < len(PHONES)
    pad = torch.nn.functional.pad
    padded = decoder(pad(phones, (0, 4), value=7), pad(vectors, (0, 0, 0, 4), value=1.0), mask)
    for name, value in vars(alone).items():
        torch.testing.assert_close(getattr(padded, name)[:, : len(PHONES)], value)


@torch.no_grad()
def test_before_training_all_phones_are_said_alike_without_pauses() -> None:
    new = PhoneDecoder(CONFIG, UnitDecodingConfig()).eval()
    said = new.say(torch.tensor(PHONES), audio(len(PHONES)))
    assert [end - begin for begin, end in pairwise([LEAD, *said.ends])] == [4] * len(PHONES)
    levels = {unit // MARKED_PHONES for unit in said.ids}
    assert len(levels - {0}) == 1


@pytest.mark.parametrize("sizes", [(MARKED_PHONES + 5, UNITS), (MARKED_PHONES, 64)])
def test_other_vocabularies_are_refused(sizes: tuple[int, int]) -> None:
    config = CONFIG.model_copy(update=dict(zip(("text_token_size", "speech_token_size"), sizes, strict=True)))
    wanted = f"{sizes[0]} text tokens and {sizes[1]} units; phones are {MARKED_PHONES} and {UNITS}"
    with pytest.raises(ValueError, match=wanted):
        PhoneDecoder(config, UnitDecodingConfig())
