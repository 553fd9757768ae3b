"""What passes the floor from one side to the other; whole conversations are in `session/`."""

from taste_agent import events as ev
from taste_agent.config import AgentSettings
from taste_agent.dialog import messages as m
from taste_agent.dialog.messages import Silence
from taste_agent.turns.manager import TurnManager


def new_manager():
    return TurnManager(AgentSettings())


def test_outputs_are_handed_out_once():
    manager = new_manager()
    first = manager.type_text(100, "hello")
    assert [type(output) for output in first] == [ev.TurnEnded, ev.UserTurn, m.AnswerText]
    assert manager.interrupt(200) != []
    assert manager.interrupt(300) == []
    assert [type(output) for output in first] == [ev.TurnEnded, ev.UserTurn, m.AnswerText]


def test_a_second_typed_text_takes_the_floor_from_the_reply_to_the_first():
    manager = new_manager()
    manager.type_text(100, "hello")
    assert manager.replying
    outputs = manager.type_text(200, "wait")
    assert [type(output) for output in outputs[:3]] == [Silence, ev.ReplyCancelled, m.Settle]
    assert outputs[1].reason == "typed"
    assert outputs[-1] == m.AnswerText(2, "wait")


def test_results_of_an_older_reply_are_ignored():
    manager = new_manager()
    manager.type_text(100, "hello")
    manager.type_text(200, "wait")
    assert manager.on_result(300, m.Generated(1, "finished", "")) == []
    assert manager.replying
    outputs = manager.on_result(300, m.Generated(2, "finished", ""))
    assert [type(output) for output in outputs] == [ev.NoSpeech, m.Settle]
    assert manager.idle


def test_a_failure_is_told_once_while_it_lasts():
    manager = new_manager()
    for expected in (1, 0):
        assert len(manager.on_result(100, m.Failed(None, "no memory"))) == expected
    assert len(manager.on_result(100, m.Failed(None, "no disk"))) == 1


def test_a_failed_reply_gives_the_floor_back():
    manager = new_manager()
    manager.type_text(100, "hello")
    outputs = manager.on_result(200, m.Failed(1, "no memory"))
    assert [type(output) for output in outputs] == [ev.Notice, Silence, ev.ReplyCancelled, m.Settle]
    assert manager.idle
