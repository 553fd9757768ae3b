import pytest

from taste_speech.training.evaluation import held_out
from taste_speech.training.evaluation.scoring import accepts


def test_the_material_is_whole():
    assert len(held_out.everyday("test")) == 150
    assert len(held_out.unheard("test")) == 100
    assert len(held_out.spoken_forms()) == 100
    assert [len(talk) for talk in held_out.long_talks("test")] == [40] * 8
    assert len(held_out.remembered("test")) == 40
    assert len(held_out.sentences("test", 300)) == 300


@pytest.mark.parametrize("split", ["valid", "test"])
def test_early_and_late_turns_of_all_talks_are_the_same(split):
    talks = held_out.long_talks(split)
    early, late = (
        sorted(turn.text for talk in talks for turn in talk if turn.block == block)
        for block in ("early", "late")
    )
    assert early == late
    assert len(early) >= 18 * len(talks) / 2


def test_examples_of_everyday_answers_are_accepted_and_questions_are_not():
    for entry in held_out._read("everyday"):
        assert accepts(entry["accept"], entry["example"])
        assert not accepts(entry["accept"], entry["ask"])


@pytest.mark.parametrize("split", ["valid", "test"])
def test_questions_of_our_kinds_have_a_pattern(split):
    turns = held_out.our_kinds(split, 30)
    assert len({turn.text for turn in turns}) > 20
    assert all(turn.accept for turn in turns)


def test_cut_off_turns_break_off_before_the_end():
    turns = held_out.cut_off_turns("valid", 10)
    assert len(turns) == 10
    assert all(turn.text[-1].isalpha() for turn in turns)


def test_splits_share_no_everyday_question():
    asked = [{turn.text for turn in held_out.everyday(split)} for split in ("valid", "test")]
    assert asked[0]
    assert not asked[0] & asked[1]
