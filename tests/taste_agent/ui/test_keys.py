import os
import pty
import termios

import pytest

from taste_agent.ui.chat_screen import press
from taste_agent.ui.keys import BACKSPACE, ENTER, ESCAPE, KeyReader, split_keys
from taste_agent.ui.state import ViewState


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("q", ["q"]),
        ("ab", ["a", "b"]),
        ("\x1b", ["\x1b"]),
        ("\x1b[A", []),
        ("\x1bOPx", ["x"]),
        ("\x1b[15~m", ["m"]),
        ("\n", [ENTER]),
        ("\b", [BACKSPACE]),
        ("你é", ["你", "é"]),
    ],
)
def test_split_keys(text, keys):
    assert split_keys(text) == keys


@pytest.fixture
def terminal():
    controller, device = pty.openpty()
    with os.fdopen(device, "r") as stream:
        yield controller, stream
    os.close(controller)


def test_reader_reads_without_enter_and_gives_the_terminal_back(terminal):
    controller, stream = terminal
    before = termios.tcgetattr(stream)
    with KeyReader(stream) as reader:
        assert reader.read(0) == []
        os.write(controller, "m你".encode())
        assert reader.read(1) == ["m", "你"]
    assert termios.tcgetattr(stream) == before


def test_characters_that_come_in_parts_are_joined(terminal):
    controller, stream = terminal
    first, second = "你".encode()[:1], "你".encode()[1:]
    with KeyReader(stream) as reader:
        os.write(controller, first)
        assert reader.read(1) == []
        os.write(controller, second)
        assert reader.read(1) == ["你"]


def test_terminal_comes_back_after_an_error(terminal):
    _, stream = terminal
    before = termios.tcgetattr(stream)
    with pytest.raises(KeyboardInterrupt), KeyReader(stream):
        raise KeyboardInterrupt
    assert termios.tcgetattr(stream) == before


def test_ctrl_c_still_interrupts(terminal):
    _, stream = terminal
    with KeyReader(stream):
        assert termios.tcgetattr(stream)[3] & termios.ISIG


@pytest.mark.parametrize(
    ("key", "action"),
    [("q", "quit"), ("i", "interrupt"), (ESCAPE, "interrupt"), ("s", "save"), ("r", "record"), ("x", "")],
)
def test_keys_and_actions(key, action):
    assert press(ViewState(), key).action == action


def test_mute_toggles():
    muted = press(ViewState(), "m")
    assert (muted.action, muted.state.muted) == ("mute", True)
    assert not press(muted.state, "m").state.muted


def test_push_to_talk_is_a_toggle_of_the_space_key():
    on = press(ViewState(), "p").state
    assert on.talk_key is False
    talking = press(on, " ")
    assert (talking.action, talking.state.talk_key) == ("talk", True)
    assert press(talking.state, " ").state.talk_key is False
    assert press(talking.state, "p").state.talk_key is None
    assert press(ViewState(), " ").action == ""


def typed(state, keys):
    outcome = None
    for key in keys:
        outcome = press(state, key)
        state = outcome.state
    return outcome


def test_typing():
    outcome = typed(ViewState(), ["t", *"hiq", BACKSPACE, ENTER])
    assert (outcome.action, outcome.text, outcome.state.typing) == ("type", "hi", None)


def test_nothing_typed_sends_nothing():
    outcome = typed(ViewState(), ["t", " ", ENTER])
    assert (outcome.action, outcome.state.typing) == ("", None)


def test_escape_leaves_typing():
    assert typed(ViewState(), ["t", "a", ESCAPE]).state.typing is None


def test_text_only_goes_on_typing_and_has_no_microphone_keys():
    state = ViewState(text_only=True, typing="")
    outcome = typed(state, ["a", ENTER])
    assert (outcome.action, outcome.state.typing) == ("type", "")
    quiet = ViewState(text_only=True)
    assert [press(quiet, key).action for key in "mrp"] == ["", "", ""]
