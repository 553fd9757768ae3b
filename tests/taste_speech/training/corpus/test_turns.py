import random
from pathlib import Path

import pytest

from taste_speech.errors import TasteError
from taste_speech.training.corpus.dialogues.turns import (
    HANGING,
    Turn,
    as_recognized,
    cut_off,
    read_talks,
    written_talks,
)

TALKS = """S: Answer in one short sentence.
U: My cat won't eat.
A: Try warming the food a little.

U: Why is the sky blue?
A: Air scatters blue light the most.
U: And at night?
A: Then there is no light to scatter.
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "talks.txt").write_text(TALKS)
    return tmp_path


def test_paragraphs_are_talks_of_turns(folder: Path) -> None:
    first, second = read_talks(folder / "some" / "talks.txt")
    assert [turn.role for turn in first] == ["system", "user", "assistant"]
    assert [turn.text for turn in second][2:] == ["And at night?", "Then there is no light to scatter."]
    assert [turn.modality for turn in first] == ["text", "text", "speech"]


@pytest.mark.parametrize(
    "text", ["A: Hello.", "U: Hi.\nU: Hi.", "U: Hi.\nA:", "Hello there.", "U: Hi.\nA: Hi.\nA: Again."]
)
def test_sides_that_do_not_take_turns_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "talks.txt").write_text(text)
    with pytest.raises(TasteError, match="is not a line of"):
        list(read_talks(tmp_path / "talks.txt"))


def test_the_talks_of_the_recipe_are_whole_and_speakable() -> None:
    talks = written_talks()
    assert len(talks) > 4000
    said = [turn.text for talk in talks for turn in talk.turns if turn.role == "assistant"]
    assert not [text for text in said if any(c.isdigit() for c in text) or set(text) & set('*#_()[]"%$&/')]
    shares = [sum(talk.split == split for talk in talks) / len(talks) for split in ("train", "valid")]
    assert shares[0] > 0.94
    assert 0.01 < shares[1] < 0.06


def test_few_talks_ask_the_same() -> None:
    asked = [talk.turns[0].text.lower() for talk in written_talks() if talk.turns[0].role == "user"]
    assert len(set(asked)) / len(asked) > 0.98


def test_a_cut_turn_ends_with_a_hanging_word_and_the_talk_with_it() -> None:
    turns = [
        Turn("user", "speech", "What is the capital of Peru?"),
        Turn("assistant", "speech", "Lima."),
        Turn("user", "speech", "Thanks."),
    ]
    for seed in range(20):
        [cut] = cut_off(turns, random.Random(seed))
        assert not cut.finished
        assert cut.text.split()[-1].lower() in HANGING
        assert turns[0].text.startswith(cut.text)


def test_a_talk_without_a_hanging_word_stays_whole() -> None:
    turns = [Turn("user", "speech", "Thanks."), Turn("assistant", "speech", "Gladly.")]
    assert cut_off(turns, random.Random(0)) == turns


def test_what_is_recognized_has_the_words_and_no_hesitation() -> None:
    turn = Turn("user", "speech", "Well, um, what is a quasar?")
    for seed in range(50):
        heard = as_recognized(turn, random.Random(seed)).recognized
        assert heard is not None
        assert heard.lower().replace(",", "").rstrip(".?") == "well what is a quasar"


def test_typed_turns_and_those_of_others_are_as_they_are() -> None:
    for turn in (Turn("user", "text", "Um, hi."), Turn("assistant", "speech", "Um, hi.")):
        assert as_recognized(turn, random.Random(0)) == turn


def test_no_two_written_talks_have_one_id():
    talks = written_talks()
    assert len({talk.id for talk in talks}) == len(talks)
