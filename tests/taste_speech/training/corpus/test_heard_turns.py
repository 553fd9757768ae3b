import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from taste_speech.audio_tower.encoder import EncodedAudio
from taste_speech.training.corpus import heard_turns
from taste_speech.training.corpus.audio_store import Timing
from taste_speech.training.corpus.dialogues.turns import Talk, Turn
from taste_speech.training.corpus.heard_turns import HeardTurn, HeardTurns, Hearer, broken_off, in_a_room
from taste_speech.training.corpus.reply_voice import Spoken

TALK = Talk(
    "seals",
    "train",
    (
        Turn("user", "text", "And what do the seals eat in winter?"),
        Turn("assistant", "speech", "Mostly fish."),
        Turn("user", "text", "I see."),
    ),
)


def tone(seconds, words=2):
    samples = (8000 * np.sin(np.arange(int(24_000 * seconds)) / 10)).astype(np.int16)
    ends = [seconds * (index + 1) / words for index in range(words)]
    return Spoken(samples, np.zeros(0, np.float32), Timing(ends, [("ɑ", end) for end in ends]))


TEXT = "Can you tell me where the station is? I am late."


def test_a_turn_breaks_off_where_more_is_to_come():
    cut = [broken_off(TEXT, random.Random(seed)) for seed in range(200)]
    heard = [said.text.split()[: said.words] for said in cut]
    assert not any(said.finished for said in cut)
    assert not any(words[-1].endswith(("?", ".")) and not words[-1].endswith("...") for words in heard)
    assert {words[-1] for words in heard} >= {"tell", "um,", "where,"}
    assert broken_off("Yes.", random.Random(0)) is None
    assert broken_off("No. Why? Well.", random.Random(0)) is None


def test_a_turn_breaks_off_behind_hanging_words_as_often_as_told():
    text = "Do the seals eat fish and shrimps here?"  # the, and

    def hanging(share):
        cut = [broken_off(text, random.Random(seed), share) for seed in range(200)]
        heard = [said.text.split()[: said.words] for said in cut]
        return sum(bool({"the", "and"} & {word.strip(",.") for word in words[-2:]}) for words in heard)

    assert hanging(1.0) == 200
    assert hanging(0.0) < 150


def test_a_room_has_its_levels_and_ends_in_silence():
    levels, noisy = [], 0
    for seed in range(60):
        samples = in_a_room(tone(1.0), None, random.Random(seed))
        assert samples.dtype == np.float32
        assert samples.size == 16_000 * 1.3
        levels.append(20 * np.log10(np.sqrt(np.square(samples[:16_000]).mean())))
        noisy += np.abs(samples[-3200:]).max() > 0
    assert min(levels) < -28
    assert max(levels) > -16
    assert 15 < noisy < 45


def test_nothing_is_heard_after_the_last_word():
    samples = in_a_room(tone(1.0), 1, random.Random(3))
    assert 16_000 * 0.8 <= samples.size <= 16_000 * 0.84


def test_a_heard_turn_takes_its_place_in_the_talk():
    heard = HeardTurn("seals", 0, True, ["And", "what?"], [[1, 2], [3, 4]]).within(TALK)
    first, *rest = heard.turns
    assert (first.recognized, first.tastes, first.modality) == ("And what?", ((1, 2), (3, 4)), "speech")
    assert [turn.text for turn in rest] == ["Mostly fish.", "I see."]
    assert rest[1].modality == "speech"
    assert rest[1].tastes is None


def test_a_talk_ends_with_a_turn_that_is_cut_off():
    heard = HeardTurn("seals", 2, False, ["I"], [[1, 2]]).within(TALK)
    assert len(heard.turns) == 3
    assert not heard.turns[2].finished
    assert len(HeardTurn("seals", 0, False, ["And"], [[1, 2]]).within(TALK).turns) == 1


class Ears:
    def __init__(self, text):
        self.text, self.samples = text, None

    def start(self):
        self.samples = None

    def accept(self, samples):
        self.samples = samples

    def finish(self):
        return SimpleNamespace(text=self.text)

    def encoded(self, samples, value_layer):
        assert samples is self.samples
        assert value_layer == 7
        return EncodedAudio(torch.zeros(1, 4, 8), torch.zeros(1, 4, 8))


class Voice:
    def __init__(self):
        self.said = []

    def speak(self, text, manner, seed):
        if "2" in text:
            raise ValueError(text)
        self.said.append(text)
        return tone(1.0, len(text.split()))


@pytest.fixture
def hearer(monkeypatch):
    def hearer(text):
        tower = SimpleNamespace(joint=SimpleNamespace(target_hidden_layer=7))
        return Hearer(Voice(), Ears(text), tower)

    def tastes(tower, encoded, ids, of_word):
        return torch.ones(int(of_word.max()) + 1, 2)

    monkeypatch.setattr(heard_turns, "taste_ids_of", tastes)
    return hearer


def test_what_is_not_understood_or_cannot_be_said_is_left_out(hearer):
    assert hearer("").hear(TALK, 0, random.Random(0)) is None
    number = Talk("n", "train", (Turn("user", "text", "I have 2"),))
    assert hearer("I have two").hear(number, 0, random.Random(0)) is None
    heard = hearer("And what do seals eat?").hear(TALK, 0, random.Random(0))
    assert heard.words == ["And", "what", "do", "seals", "eat?"]
    assert len(heard.tastes) == 5


def test_turns_are_heard_until_there_are_enough_and_go_on_from_the_file(hearer, tmp_path):
    path = tmp_path / "heard.jsonl"
    hearer("I see.").fill(HeardTurns(path), [TALK], 6, 1)
    before = HeardTurns(path).turns
    assert len(before) == 6
    assert {turn.turn for turn in before} <= {0, 2}
    later = HeardTurns(path)
    hearer("I see.").fill(later, [TALK], 40, 1)
    assert later.turns[:6] == before
    assert later.turns == HeardTurns(path).turns
    with path.open("a") as file:
        file.write('{"talk": "torn')
    assert HeardTurns(path).turns == later.turns
    assert {turn.finished for turn in later.turns} == {True, False}
