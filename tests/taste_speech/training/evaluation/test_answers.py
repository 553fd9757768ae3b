from types import SimpleNamespace

import pytest

from taste_speech.training.evaluation import answers, held_out
from taste_speech.training.evaluation.held_out import Asked
from taste_speech.training.evaluation.results import Kept
from taste_speech.training.evaluation.subjects import TasteMind


class Parrot:
    """Says what a table has for a turn, else that it does not know."""

    def __init__(self, table):
        self.table = table
        self.systems = []

    def talk(self, system=None):
        self.systems.append(system)
        return self

    def add(self, role, text):
        pass

    def ask(self, text):
        return self.table.get(text, "I do not know.")


def values(rows):
    return {row.name: row.value for row in rows}


def test_everyday_answers_are_compared_with_the_untuned_model():
    asked = {
        "Who?": Asked("Who?", r"\bada\b", "fact"),
        "Why ada?": Asked("Why ada?", r"\bada\b", "other"),
    }
    ours = {"Who?": {"answer": "It was Ada."}, "Why ada?": {"answer": "Ada, of course."}}
    theirs = {"Who?": {"answer": "Nobody."}, "Why ada?": {"answer": "Ada!"}}
    found = values(answers.everyday_rows(asked, ours, theirs))
    assert found["everyday questions: answered to the point"] == 100
    assert found["the same: by a reply that echoes the question"] == 50
    assert found["the same: facts"] == 100
    assert found["the same: better than it"] == 50


def test_stories_and_turns_without_a_pattern_are_no_part_of_a_long_talk():
    talk = [
        Asked(str(n), "yes", block="early" if n < 10 else "late" if n > 29 else "middle") for n in range(40)
    ]
    talk[3], talk[35] = Asked("3", "yes", "story", "early"), Asked("35", None, block="late")
    said = ["Yes."] * 20 + ["No."] * 20
    found = values(answers.talk_rows([talk], [said]))
    assert found["talks of 40 turns: right in turns 1 to 10"] == 100
    assert found["talks of 40 turns: late against early"] == -100
    assert found["talks of 40 turns: right in turns 16 to 20"] == 100
    assert found["talks of 40 turns: right in turns 21 to 25"] == 0


def test_replies_are_counted_unless_there_is_none():
    short, speakable = answers.form_rows(["Yes.", "", "word " * 40, "1. One"])
    assert (short.value, short.count) == (pytest.approx(200 / 3), 3)
    assert speakable.value == pytest.approx(200 / 3)


def test_a_mind_that_knows_the_answers_passes_and_one_that_asks_back_does_not(tmp_path, monkeypatch):
    kinds = [Asked("What is it?", r"\btea\b"), Asked("Who is it?", r"\bada\b")]
    monkeypatch.setattr(held_out, "our_kinds", lambda *_: kinds)
    monkeypatch.setattr(held_out, "everyday", lambda _: [])
    monkeypatch.setattr(
        held_out, "remembered", lambda _: [[Asked("I am Ada."), Asked("Who?", "ada", "name")]]
    )
    monkeypatch.setattr(held_out, "long_talks", lambda _: [])
    monkeypatch.setattr(held_out, "cut_off_turns", lambda *_: [Asked("What is the")])
    parrot = Parrot(
        {
            "What is it?": "Tea.",
            "Who is it?": "That is Ada.",
            "What is it? Who is it?": "It is tea.",
            "Who?": "Ada.",
            "What is the": "",
            **dict.fromkeys(answers.AGAIN, "Sorry. Sorry. Sorry."),
        }
    )
    bench = SimpleNamespace(mind=parrot, kept=Kept(tmp_path), split="test", questions=2)
    found = values(answers.rows(bench))
    assert found["our kinds, typed: answered right"] == 100
    assert found['told "Answer briefly.": right, against no prompt'] == 0
    assert found["cut-off turns given no_speech, typed"] == 100
    assert found["what was told is recalled: names"] == 100
    assert found["two questions in one turn: both answered"] == 0
    assert found["two questions in one turn: one at least"] == 100
    assert found['"say that again" first: a short answer, nothing thrice'] == 0
    assert answers.BRIEF in parrot.systems


def test_lines_before_a_question_and_the_talk_so_far_are_in_the_history(tiny_model, tiny_processor):
    mind = TasteMind(tiny_model, tiny_processor)
    talk = mind.talk("be brief")
    talk.add("user", "yes")
    talk.add("assistant", "please tell me")
    assert talk.ask("what time is it?")
    roles = [segment.role for segment in talk.conversation.segments]
    assert roles == ["system", "user", "assistant", "user", "assistant"]
    turn = Asked("what time is it?", before=(("user", "yes"), ("assistant", "please tell me")))
    assert answers.answer(mind, turn)
