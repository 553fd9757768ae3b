import os
import pty
import termios

import pytest

from taste_agent.ui import terminal as k
from taste_agent.ui.state import ViewState, press
from taste_agent.ui.terminal import (
    BACKSPACE,
    ENTER,
    ESCAPE,
    KeyParser,
    KeyReader,
    Line,
    Paste,
    edit,
    next_key,
)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("q", ["q"]),
        ("ab", ["a", "b"]),
        ("\x1b", ["\x1b"]),
        ("\x1b[A\x1bOB", [k.UP, k.DOWN]),
        ("\x1b[H\x1b[4~\x1b[5~", [k.HOME, k.END, k.PAGE_UP]),
        ("\x1b[1;5D\x1bf", [k.WORD_LEFT, k.WORD_RIGHT]),
        ("\x1bOPx", ["x"]),
        ("\x1b[15~m", ["m"]),
        ("\x1bq", [ESCAPE, "q"]),
        ("\x1b[200~quit\rnow\x1b[201~m", [Paste("quit\rnow"), "m"]),
        ("\n", [ENTER]),
        ("\b", [BACKSPACE]),
        ("你é", ["你", "é"]),
    ],
)
def test_keys_of_what_a_terminal_sends(text, keys):
    parser = KeyParser()
    assert parser.feed(text) + parser.flush() == keys


@pytest.mark.parametrize(
    ("text", "keys"),
    [("\x1b[1;5C", [k.WORD_RIGHT]), ("\x1b[200~my quick\nquestion\x1b[201~", [Paste("my quick\nquestion")])],
)
def test_sequences_may_come_in_parts(text, keys):
    parser = KeyParser()
    assert [key for character in text for key in parser.feed(character)] == keys
    assert not parser.unfinished


def pressed(state, *keys):
    """The actions of keys that come at once, and the state after them."""
    actions, left = [], list(keys)
    while left:
        key, left = next_key(left, state.typing is not None)
        outcome = press(state, key)
        actions += [outcome.action] if outcome.action else []
        state = outcome.state
    return actions, state


@pytest.mark.parametrize(
    "keys",
    [[Paste("my quick\nquestion\r")], [*"my quick", ENTER, *"question"]],
)
def test_a_paste_presses_no_key_and_waits_for_enter(keys):
    actions, state = pressed(ViewState(), *keys)
    assert (actions, state.typing.text) == ([], "my quick question")
    actions, state = pressed(state, ENTER)
    assert (actions, state.typing) == (["type"], None)


def test_lines_pasted_without_marks_press_no_key_even_where_they_begin_with_one():
    lines = [*"tell me", ENTER, *"quit", ENTER, *"mars"]
    assert pressed(ViewState(), *lines) == ([], ViewState(typing=Line("tell me quit mars", 17)))


def test_keys_that_a_busy_loop_reads_at_once_are_pressed():
    assert pressed(ViewState(), "t", *"count", ENTER)[0] == ["type"]
    assert pressed(ViewState(), "m", "m")[0] == ["mute", "mute"]
    assert pressed(ViewState(), k.UP, k.UP, k.DOWN, "q")[0] == ["scroll", "scroll", "scroll", "quit"]


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


def test_ctrl_c_still_interrupts_and_no_other_key_acts_on_the_terminal(terminal):
    _, stream = terminal
    with KeyReader(stream):
        changed = termios.tcgetattr(stream)
        assert changed[3] & termios.ISIG
        assert not changed[0] & termios.IXON
        assert changed[6][termios.VQUIT] == changed[6][termios.VSUSP] == b"\0"


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
    state = ViewState(text_only=True, typing=Line())
    outcome = typed(state, ["a", ENTER])
    assert (outcome.action, outcome.state.typing) == ("type", Line())
    quiet = ViewState(text_only=True)
    assert [press(quiet, key).action for key in "mrp"] == ["", "", ""]


def test_what_was_not_sent_comes_back():
    left = typed(ViewState(), ["t", *"long text", ESCAPE]).state
    assert typed(left, ["t", k.UP]).state.typing.text == "long text"


def test_help_is_closed_by_any_key_which_does_nothing_else():
    help_shown = press(ViewState(), "?").state
    assert help_shown.help
    closed = press(help_shown, "q")
    assert (closed.action, closed.state.help) == ("", False)


@pytest.mark.parametrize(("key", "how"), [(k.UP, "line up"), (k.PAGE_DOWN, "page down"), (k.END, "end")])
def test_scroll_keys(key, how):
    outcome = press(ViewState(), key)
    assert (outcome.action, outcome.text) == ("scroll", how)
    while_typing = press(ViewState(typing=Line()), key).action
    assert while_typing == ("scroll" if key == k.PAGE_DOWN else "")


TYPED = Line("what is it", 10)


def after(*pressed, line=TYPED, history=()):
    for key in pressed:
        line = edit(line, key, history)
    return line


@pytest.mark.parametrize(
    ("pressed", "text", "cursor"),
    [
        ([k.LEFT, "x"], "what is ixt", 10),
        ([k.HOME, "x"], "xwhat is it", 1),
        ([k.HOME, k.LEFT, k.DELETE], "hat is it", 0),
        ([k.HOME, k.RIGHT, k.KILL_TO_START], "hat is it", 0),
        ([k.HOME, k.END, k.RIGHT, "?"], "what is it?", 11),
        ([k.BACKSPACE], "what is i", 9),
        ([k.HOME, k.BACKSPACE], "what is it", 0),
        ([k.DELETE], "what is it", 10),
        ([k.KILL_WORD], "what is ", 8),
        ([k.KILL_WORD, k.KILL_WORD], "what ", 5),
        ([k.WORD_LEFT, k.KILL_TO_END], "what is ", 8),
        ([k.WORD_LEFT, k.KILL_TO_END, k.HOME, k.YANK], "itwhat is ", 2),
        ([k.HOME, k.WORD_RIGHT, k.WORD_RIGHT], "what is it", 7),
        ([k.KILL_TO_START], "", 0),
        ([Paste(" one\n two\t\x1b[Athree\r")], "what is itone two [Athree", 25),
        ([k.PAGE_UP, "\x07"], "what is it", 10),
    ],
)
def test_editing(pressed, text, cursor):
    line = after(*pressed)
    assert (line.text, line.cursor) == (text, cursor)


def test_history_gives_back_what_is_being_typed():
    history = ("first", "second")
    up = after(k.UP, history=history)
    assert (up.text, up.cursor) == ("second", 6)
    assert after(k.UP, k.UP, k.UP, history=history).text == "first"
    assert after(k.UP, k.UP, k.DOWN, k.DOWN, history=history).text == "what is it"
    assert after(k.DOWN, history=history) == TYPED
    assert after(k.UP) == TYPED


def test_an_older_line_may_be_changed():
    assert after(k.UP, "!", history=("first",)).text == "first!"
