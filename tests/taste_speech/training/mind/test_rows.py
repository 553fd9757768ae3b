"""Talks as rows, the taste tokens of their words, and their losses."""

import random
from types import SimpleNamespace

import pytest
import torch

from taste_speech.streaming.layout import NONE, PromptFormat
from taste_speech.training.corpus.dialogues.turns import Talk, Turn
from taste_speech.training.mind.rows import TalkEncoder, TalkRows, TasteBank, talk_losses

START, END, SYSTEM, USER, ASSISTANT = 90, 91, 92, 93, 94
FORMAT = PromptFormat(
    bos_id=89,
    openings={"system": (START, SYSTEM), "user": (START, USER), "assistant": (START, ASSISTANT)},
    closings=dict.fromkeys(("system", "user", "assistant"), (END,)),
    reply_opening=(START,),
    role_ids={"system": SYSTEM, "user": USER, "assistant": ASSISTANT},
    special_ids=frozenset(range(89, 100)),
    vocab_size=100,
    num_quantizers=2,
    codebook_size=4,
)
LETTERS = "abcdefghijklmnopqrstuvwxyz.,?'"


class LetterTokenizer:
    def __call__(self, text, add_special_tokens):
        return {"input_ids": [LETTERS.index(c) for c in text.lower().strip()]}


class LengthTaste:
    def codes(self, words, rng, manner=""):
        return [(len(word) % 4, 2 * (manner == "slow")) for word in words]


def encoder(tastes=None, **options):
    return TalkEncoder(FORMAT, LetterTokenizer(), tastes or TasteBank(), **options)


def rows(*turns, tastes=None):
    return encoder(tastes).rows(Talk("t", "train", turns), random.Random(0))


def weighted(talk):
    pairs = zip(talk.text_targets.tolist(), talk.text_weights.tolist(), strict=True)
    return [target for target, weight in pairs if weight >= 1.0]


def ids(text):
    return [LETTERS.index(c) for c in text]


QUESTION = Turn("user", "speech", "Hi?")


def test_the_assistants_role_words_and_end_are_learned():
    assert weighted(rows(QUESTION, Turn("assistant", "speech", "ab c"))) == [ASSISTANT, *ids("abc"), END]


def test_where_somebody_broke_in_is_not_learned_as_an_end():
    talk = rows(QUESTION, Turn("assistant", "speech", "ab c de", cut_at_word=2))
    assert weighted(talk) == [ASSISTANT, *ids("abc")]


def test_after_an_unfinished_turn_only_the_users_role_is_learned():
    assert weighted(rows(Turn("user", "speech", "what is", finished=False))) == [USER]


def test_taste_targets_are_those_of_the_assistants_words():
    talk = rows(QUESTION, Turn("assistant", "speech", "ab c"), tastes=LengthTaste())
    targets = talk.taste_targets[talk.taste_targets >= 0]
    assert talk.tastes[targets].tolist() == [[2, 0], [1, 0]]
    assert (talk.taste_source >= 0).sum() == len(ids("c")) + 2  # rest of the reply, and both segment ends


def test_what_a_recognizer_wrote_stands_for_the_turn():
    turn = Turn("user", "speech", "Will it rain?", recognized="Will it lane?")
    assert TalkEncoder.words(turn) == ["Will", "it", "lane?"]


def test_of_a_cut_turn_only_the_words_heard_are_there():
    assert TalkEncoder.words(Turn("assistant", "speech", "ab c de", cut_at_word=2)) == ["ab", "c"]


def test_what_is_said_slowly_has_taste_tokens_of_slow_speech():
    talk = rows(QUESTION, Turn("assistant", "speech", "ab c", manner="slow"), tastes=LengthTaste())
    targets = talk.taste_targets[talk.taste_targets >= 0]
    assert talk.tastes[targets].tolist() == [[2, 2], [1, 2]]


RNG = random.Random(0)


def clip(text, rate):
    return SimpleNamespace(text=text, rate=rate)


@pytest.fixture
def bank():
    said = [("Well, good day.", 1.0), ("good day", 0.7), ("good", 0.85)]
    return TasteBank(
        (clip(text, rate), torch.full((len(text.split()), 2), n)) for n, (text, rate) in enumerate(said)
    )


def test_a_word_takes_the_token_of_a_recording_at_its_pace(bank):
    assert bank.codes(["good", "day."], RNG) == [(0, 0), (0, 0)]
    assert bank.codes(["good", "day."], RNG, "slow") == [(1, 1), (1, 1)]


def test_a_word_that_was_never_said_at_this_pace_has_none(bank):
    assert bank.codes(["Well,", "night"], RNG, "slow") == [None, None]
    assert bank.codes(["good"], RNG, "fast") == [None]


def test_marks_and_capitals_are_overlooked_where_the_word_itself_was_not_said(bank):
    assert bank.codes(["Day?", "well"], RNG) == [(0, 0), (0, 0)]


def test_a_text_that_was_said_as_a_whole_takes_the_tokens_of_one_recording():
    said = [("good day", 1.0), ("good day", 1.0), ("good", 1.0), ("day", 1.0), ("good day", 0.7)]
    whole = TasteBank(
        (clip(text, rate), torch.full((len(text.split()), 2), n)) for n, (text, rate) in enumerate(said)
    )
    rng = random.Random(0)
    drawn = {tuple(whole.codes(["good", "day"], rng)) for _ in range(60)}
    assert drawn == {((0, 0), (0, 0)), ((1, 1), (1, 1))}
    assert whole.codes(["good", "day"], rng, "slow") == [(4, 4), (4, 4)]
    mixed = {tuple(whole.codes(["good", "day", "good"], rng)) for _ in range(60)}
    assert any(len(set(codes)) > 1 for codes in mixed)  # word by word, of different recordings


class Always:
    """All words have one taste token."""

    def __init__(self, code):
        self.code = code

    def codes(self, words, rng, manner=""):
        return [(self.code, self.code)] * len(words)


def test_what_people_say_has_taste_tokens_of_one_of_their_voices():
    turns = (Turn("user", "speech", "ab c"), Turn("assistant", "speech", "ab c"))
    heard = set()
    for seed in range(20):
        talk = encoder(Always(0), heard=[Always(1), Always(2)]).rows(
            Talk("t", "train", turns), random.Random(seed)
        )
        found = [tuple(row) for row in talk.tastes.tolist()]
        assert found[2:] == [(0, 0)] * 2
        assert len(set(found[:2])) == 1
        heard.add(found[0])
    assert heard == {(1, 1), (2, 2)}
    alone = encoder(Always(3)).rows(Talk("t", "train", turns), random.Random(0))
    assert set(map(tuple, alone.tastes.tolist())) == {(3, 3)}


@pytest.fixture
def taste_loss(tiny_model):
    """The taste loss of one talk with one word, by the noise's seed."""
    quantizer = tiny_model.audio_tower.quantizer
    word = torch.zeros(1, quantizer.num_quantizers, dtype=torch.long)
    nothing = torch.tensor([NONE, NONE, NONE])
    talk = TalkRows(
        text_ids=torch.tensor([1, 2, 3]),
        taste_source=nothing,
        text_targets=torch.tensor([2, 3, 4]),
        text_weights=torch.ones(3),
        taste_targets=torch.tensor([NONE, NONE, 0]),
        tastes=word,
    )

    def loss(seed):
        generator = torch.Generator().manual_seed(seed)
        return float(talk_losses(tiny_model.spoken_lm, quantizer, [talk], 0.0, generator)["taste"].detach())

    return loss


def test_the_published_taste_loss_is_of_a_sample(taste_loss):
    assert taste_loss(0) != taste_loss(1)


def test_the_loss_of_a_model_that_reads_the_mean_has_no_noise(taste_loss, tiny_model, monkeypatch):
    monkeypatch.setattr(tiny_model.spoken_lm, "taste_deviations", 0.0)
    assert taste_loss(0) == taste_loss(1)
