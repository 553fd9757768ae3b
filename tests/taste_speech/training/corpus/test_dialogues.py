import itertools
import random
import re
from dataclasses import replace

import pytest

from taste_speech.errors import TasteError
from taste_speech.training.corpus.dialogues.conversation import (
    TalkWriter,
    asked_again,
    make_pairs,
    make_questions,
    make_talks,
)
from taste_speech.training.corpus.dialogues.kinds import (
    CONTROL,
    MEMORIES,
    WORDS,
    all_kinds,
    as_heard,
    expand,
    fill,
    make_kind,
    sentence,
    with_training_paraphrases,
)
from taste_speech.training.corpus.dialogues.turns import Talk, Turn


@pytest.fixture(scope="module")
def talks():
    return make_talks(3000, 1, "train")


def test_there_are_hundreds_of_kinds_with_distinct_names():
    names = [kind.name for kind in all_kinds()]
    assert len(names) == len(set(names)) >= 300


def is_right(kind, row, answer):
    return re.search(kind.accepted(row), as_heard(answer)) is not None


@pytest.mark.parametrize("brief", [False, True])
def test_patterns_accept_their_own_answers(brief):
    told = [kind for memory in MEMORIES for kind in (memory.tell, memory.recall, memory.unknown)]
    refused = [
        (kind.name, kind.answer(row, brief))
        for kind in (*all_kinds(), *CONTROL.values(), *told)
        for row in kind.rows
        if not is_right(kind, row, kind.answer(row, brief))
    ]
    assert refused == []


def test_patterns_refuse_the_answers_to_other_rows():
    accepted = 0
    checked = 0
    for kind in all_kinds():
        for row, other in zip(kind.rows, kind.rows[1:], strict=False):
            if kind.accepted(row) != kind.accepted(other):
                checked += 1
                accepted += is_right(kind, row, kind.answer(other))
    assert checked > 1000
    assert accepted / checked < 0.02


def test_patterns_refuse_the_answers_of_other_kinds():
    answers = [kind.answer(kind.rows[0]) for kind in all_kinds()]
    wrong = sum(
        is_right(kind, kind.rows[0], answer)
        for kind in all_kinds()
        for answer in answers
        if answer != kind.answer(kind.rows[0])
    )
    assert wrong / len(answers) ** 2 < 0.01


def test_splits_share_no_user_sentence(talks):
    def said(some):
        return {
            as_heard(turn.text)
            for talk in some
            for turn in talk.turns
            if turn.role == "user" and turn.finished and not turn.goes_on
        }

    train = said(talks) | said(make_questions(3000, 2, "train"))
    test = said(make_talks(1000, 1, "test")) | said(make_questions(1000, 2, "test"))
    assert not train & test


def test_nearly_every_kind_has_paraphrases_held_out():
    without = [kind.name for kind in all_kinds() if not kind.paraphrases("test")]
    assert len(without) <= 5
    assert all(kind.paraphrases("train") for kind in all_kinds())


def test_there_are_tens_of_thousands_of_user_sentences():
    asked = {fill(t, row) for kind in all_kinds() for t in kind.ask for row in kind.rows}
    assert len({as_heard(question) for question in asked}) > 20_000


def test_talks_are_varied(talks):
    turns = [turn for talk in talks for turn in talk.turns]
    words = {word for turn in turns for word in as_heard(turn.text).split()}
    assert len({turn.kind for turn in turns if turn.kind}) >= 300
    assert 1500 < len(words) < 3500
    assert sum(not turn.finished for turn in turns) > 0.1 * len(talks)
    assert sum(turn.cut_at_word is not None for turn in turns) > 0.03 * len(talks)
    long = [turn for turn in turns if turn.role == "assistant" and len(turn.text.split()) >= 40]
    assert len(long) > 0.03 * len(talks)


def test_text_is_plain(talks):
    for talk in talks:
        for turn in talk.turns:
            assert re.fullmatch(r"[A-Za-z][A-Za-z .,?']*", turn.text), turn.text


def test_after_an_unfinished_turn_the_user_goes_on_or_nobody_does(talks):
    for talk in talks:
        for turn, following in itertools.pairwise(talk.turns):
            assert turn.finished != following.goes_on


def test_some_talks_are_an_unfinished_turn_alone(talks):
    alone = [
        talk for talk in talks if [turn.finished for turn in talk.turns if turn.role == "user"] == [False]
    ]
    assert 0.05 * len(talks) < len(alone) < 0.2 * len(talks)


def test_single_questions_are_whole():
    assert all(talk.turns[0].finished for talk in make_questions(500, 1, "train"))


def test_unfinished_turns_are_no_finished_sentence(talks):
    finished = {
        as_heard(t.text)
        for talk in talks
        for t in talk.turns
        if t.role == "user" and t.finished and not t.goes_on
    }
    cut_off = [as_heard(t.text) for talk in talks for t in talk.turns if not t.finished]
    assert sum(text in finished for text in cut_off) <= 0.01 * len(cut_off)


def test_every_finished_user_turn_is_answered(talks):
    for talk in talks:
        turns = talk.turns
        for turn, following in itertools.pairwise(turns):
            if turn.role == "user" and turn.finished:
                assert following.role == "assistant"
                assert re.search(turn.accepted_pattern, as_heard(following.text)), (turn, following)


def test_a_cut_answer_is_cut_inside(talks):
    for talk in talks:
        for turn in talk.turns:
            if turn.cut_at_word is not None:
                assert turn.role == "assistant"
                assert 0 < turn.cut_at_word < len(turn.text.split())


def test_go_on_says_the_rest_of_the_cut_answer(talks):
    found = 0
    for talk in talks:
        for i, turn in enumerate(talk.turns):
            if turn.kind == "go_on" and turn.role == "assistant":
                cut = next(t for t in reversed(talk.turns[:i]) if t.cut_at_word is not None)
                rest = as_heard(" ".join(cut.text.split()[cut.cut_at_word :]))
                assert as_heard(turn.text).endswith(rest)
                found += 1
    assert found > 10


def test_names_are_remembered_within_a_talk(talks):
    found = 0
    for talk in talks:
        told = ""
        for turn in talk.turns:
            if turn.kind == "tell_name" and turn.role == "assistant":
                told = turn.text.rstrip(".").split()[-1]
            elif turn.kind == "recall_name" and turn.role == "assistant":
                assert told in turn.text
                found += 1
            elif turn.kind == "unknown_name":
                assert not told
    assert found > 3


def test_talks_are_the_same_for_the_same_seed():
    assert make_talks(20, 5, "test") == make_talks(20, 5, "test")
    assert make_talks(20, 5, "test") != make_talks(20, 6, "test")


def test_questions_go_through_the_kinds_in_turn():
    first = make_questions(200, 1, "test")
    assert len({talk.turns[0].kind for talk in first}) == 200
    assert all(len(talk.turns) == 2 for talk in first)


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="'dev' is unknown; use one of train, valid, test"):
        make_talks(1, 1, "dev")


def test_expand_tries_all_alternatives():
    assert expand("(a|b) c (|d)") == ["a c", "a c d", "b c", "b c d"]


@pytest.mark.parametrize("template", ["(a|b", "a)"])
def test_expand_refuses_open_brackets(template):
    with pytest.raises(TasteError, match="do not match"):
        expand(template)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("what is it", "What is it?"),
        ("robin, what is it", "Robin, what is it?"),
        ("so i said no", "So I said no."),
        ("tell me what it is", "Tell me what it is."),
        ("fine.", "Fine."),
    ],
)
def test_sentence_sets_capital_and_final_mark(text, expected):
    assert sentence(text) == expected


def test_as_heard_keeps_words_and_apostrophes():
    assert as_heard("What's up, Robin? Fine.") == "what's up robin fine"


def test_a_kind_without_an_accepted_answer_is_refused():
    with pytest.raises(TasteError, match="no accepted answer"):
        make_kind("x", ["why"], "Because.")


def test_a_kind_with_an_empty_slot_is_refused():
    with pytest.raises(TasteError, match="slots \\['city'\\] without values"):
        make_kind("x", ["why {city}"], "Because.", accept="because")


def test_paraphrases_written_later_are_for_training_and_nothing_held_out_is_among_them():
    kind = make_kind("mood", [f"ask {word}" for word in "abcdefghij"], "Yes.", accept="yes")
    held = [t for t in kind.ask if kind.splits[t] != "train"]
    more = with_training_paraphrases(kind, ["(say|tell) it", held[0], f"please {held[1]}", f"oh {held[0]}"])
    assert held
    assert set(more.paraphrases("train")) - set(kind.paraphrases("train")) == {
        "say it",
        "tell it",
    }
    for split in ("valid", "test"):
        assert more.paraphrases(split) == kind.paraphrases(split)
    with pytest.raises(TasteError, match=r"\['where'\]"):
        with_training_paraphrases(kind, ["ask {where}"])


def test_what_another_kind_holds_out_is_left_out_too():
    kind = make_kind("mood", ["ask me"], "Yes.", accept="yes")
    more = with_training_paraphrases(kind, ["please (sing|dance)"], frozenset({"sing"}))
    assert more.paraphrases("train") == ["ask me", "please dance"]


def test_a_training_paraphrase_that_gives_a_held_out_one_away_is_dropped():
    words = "abcdefghij"
    kind = make_kind("mood", [f"tell me what {w}" for w in words], "Yes.", accept="yes")
    held = next(t for t in kind.ask if kind.splits[t] == "test")
    told = next(t for t in kind.ask if kind.splits[t] == "train")
    kind = make_kind("mood", [*kind.ask, held.removeprefix("tell me ")], "Yes.", accept="yes")
    both = {held, held.removeprefix("tell me ")}
    assert not both & set(with_training_paraphrases(kind, []).paraphrases("train"))
    assert told in with_training_paraphrases(kind, []).paraphrases("train")


def test_no_question_of_training_is_held_out_whatever_opens_it():
    kinds = {kind.name: kind for kind in all_kinds()}
    kind = kinds["job_who"]
    assert any(t.startswith("do you know") for t in kind.ask)
    writer = TalkWriter("train", random.Random(0))
    row = {"does": "bakes bread", "job": "baker"}
    dressed = {
        as_heard(writer._dressed(kind, t, row)) for t in kind.paraphrases("train") for _ in range(2000)
    }
    held = {as_heard(fill(t, row)) for s in ("valid", "test") for t in kind.paraphrases(s)}
    assert len(dressed) > 100
    assert not dressed & held


def test_two_questions_in_one_turn_have_both_answers():
    questions = {talk.turns[0].text: talk.turns[1].text for talk in make_questions(400, 3, "valid")}
    pairs = make_pairs(200, 3, "valid")
    assert 100 < len(pairs) <= 200
    for talk in pairs:
        question, answer = talk.turns
        assert len(answer.text.split()) <= 30
        parts = [(a, b) for a in questions for b in questions if f"{a} {b}" == question.text]
        assert any(f"{questions[a]} {questions[b]}" == answer.text for a, b in parts)


def test_an_answer_that_is_asked_for_again_is_the_same_again():
    turns = (
        Turn("user", "speech", "How do seals sleep?"),
        Turn("assistant", "speech", "In the water."),
        Turn("user", "speech", "Do they"),
        Turn("assistant", "speech", "They float like corks, you know.", cut_at_word=3),
    )
    seen = {}
    for seed in range(40):
        again = asked_again(Talk("t", "train", turns), random.Random(seed)).turns
        at = 0 if again[0].kind else 2
        request, answer = again[at : at + 2]
        assert as_heard(request.text) in map(as_heard, CONTROL[request.kind].paraphrases("train"))
        assert again[:at] + again[at + 2 :] == turns
        seen[request.kind, at] = answer
    first = seen.pop(("repeat", 0))
    assert first.text in WORDS["nothing_said"]
    assert seen == {("repeat", 2): turns[1], ("slower", 2): replace(turns[1], manner="slow")}
    unfinished = replace(turns[2], finished=False)
    for talk in (Talk("t", "train", turns[2:]), Talk("t", "train", (*turns[:2], unfinished))):
        assert asked_again(talk, random.Random(0)) == talk


def test_questions_in_a_style_begin_with_its_system_prompt():
    brief = make_questions(60, 4, "train", "brief")
    plain = {talk.turns[0].text for talk in make_questions(60, 4, "train")}
    assert all(talk.turns[0].role == "system" for talk in brief)
    assert len({talk.turns[0].text for talk in brief}) > 1
    assert not plain & {talk.turns[0].text for talk in brief}
    shorter = [(kind.say, kind.brief) for kind in all_kinds() if kind.brief]
    said = {talk.turns[2].text for talk in make_questions(2000, 4, "train", "brief")}
    assert any(sentence(fill(short, {})) in said for _, short in shorter if "{" not in short)
