import random
import shutil

import pytest

from taste_speech.recognition.base import Recognition
from taste_speech.training.corpus.dialogues import as_heard
from taste_speech.training.corpus.dialogues.not_understood import NOT_UNDERSTOOD
from taste_speech.training.heard import (
    Confusions,
    errors,
    misheard_talks,
    read_pairs,
    spoken_talks,
    write_heard,
)


def words(*texts):
    return [text.split() for text in texts]


@pytest.mark.parametrize(
    ("said", "recognised", "expected"),
    [
        ("how is your weekend", "how is your week and", [("weekend", "week and")]),
        ("will you get better", "will you get", [("better", "")]),
        ("tell me a joke", "tell me uh a joke", [("me", "me uh")]),
        ("a joke", "oh a joke", []),  # nothing was said there
        ("tell me a joke", "tell me a joke", []),
    ],
)
def test_errors_are_the_phrases_that_differ(said, recognised, expected):
    found = errors(said.split(), recognised.split())
    assert [(" ".join(a), " ".join(b)) for a, b in found] == expected


def test_phrases_become_others_as_often_as_they_did():
    pairs = [words("my week", "my weak")] + 3 * [words("my week", "my week")]
    confusions, rng = Confusions(pairs), random.Random(0)
    drawn = [confusions(["one", "week"], rng)[-1] for _ in range(400)]
    assert set(drawn) == {"week", "weak"}
    assert 0.18 < drawn.count("weak") / len(drawn) < 0.32


def test_a_longer_phrase_is_tried_before_its_words():
    confusions = Confusions([words("to hear a joke", "the leather joke")])
    assert confusions(["to", "hear", "a", "joke"], random.Random(0)) == ["the", "leather", "joke"]
    assert confusions(["hear"], random.Random(0)) == ["hear"]


def test_words_that_ask_for_something_else_are_left_out():
    pairs = [words("where is iran", "where is iraq")]
    assert len(Confusions(pairs)) == 1
    assert len(Confusions(pairs, {"iran": {"iraq"}})) == 0


class Parrot:
    """Recognises one sentence in everything."""

    def start(self):
        self.samples = 0

    def accept(self, samples):
        self.samples += len(samples)

    def finish(self):
        return Recognition(text="my weak") if self.samples else Recognition()


@pytest.mark.skipif(not (shutil.which("flite") and shutil.which("espeak-ng")), reason="nothing to speak with")
def test_spoken_talks_are_written_with_what_was_recognised(tmp_path):
    path = tmp_path / "heard.jsonl"
    write_heard(path, Parrot(), count=2)
    pairs = read_pairs(path)
    assert len(pairs) == 2
    assert all(said and recognised == ["my", "weak"] for said, recognised in pairs)


@pytest.mark.skipif(not (shutil.which("flite") and shutil.which("espeak-ng")), reason="nothing to speak with")
def test_what_a_stopped_run_has_left_is_gone_on_with(tmp_path):
    path = tmp_path / "heard.jsonl"
    path.with_suffix(".partial").write_text('{"said": "a b", "heard": "a"}\n')
    write_heard(path, Parrot(), count=2)
    first, (said, recognised) = read_pairs(path)
    assert first == (["a", "b"], ["a"])
    assert (said, recognised) == (as_heard(spoken_talks(2)[1].turns[0].text).split(), ["my", "weak"])


def test_some_turns_are_not_finished():
    finished = [talk.turns[0].finished for talk in spoken_talks(20)]
    assert finished == [True] * 16 + [False] * 4


@pytest.fixture
def pairs():
    """Forty turns that were recognised without an error."""
    said = [as_heard(talk.turns[0].text).split() for talk in spoken_talks(40)]
    return [(words, words) for words in said]


def test_turns_with_few_errors_are_learned_as_they_were_recognised(pairs):
    long = next(i for i, (said, _) in enumerate(pairs) if len(said) >= 4)
    said = pairs[long][0]
    pairs[long] = (said, [*said[:-1], "uh"])
    (talk,) = misheard_talks(pairs)
    question, *answers = spoken_talks(40)[long].turns
    assert talk.turns[0].text == question.text
    assert talk.turns[0].modality == "speech"
    assert talk.turns[0].recognised == " ".join([*said[:-1], "uh"])
    assert list(talk.turns[1:]) == answers


def test_of_a_turn_that_lost_too_much_the_assistant_says_so(pairs):
    pairs[0] = (pairs[0][0], ["robin"])
    (talk,) = misheard_talks(pairs)
    assert talk.turns[0].recognised == "robin"
    assert talk.turns[1].role == "assistant"
    assert talk.turns[1].text in NOT_UNDERSTOOD


def test_a_turn_that_was_heard_as_another_sentence_is_left_out(pairs):
    pairs[0] = (pairs[0][0], ["robin"])
    assert misheard_talks(pairs, {"robin"}) == []


def test_a_lost_turn_that_is_not_finished_gets_no_answer(pairs):
    pairs[-1] = (pairs[-1][0], ["robin"])
    (talk,) = misheard_talks(pairs)
    assert [turn.recognised for turn in talk.turns] == ["robin"]


def test_pairs_of_other_turns_are_refused():
    with pytest.raises(ValueError, match=r"delete heard\.jsonl"):
        misheard_talks([(["other"], ["words"])])
