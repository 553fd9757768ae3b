import pytest

from taste_agent.ui import keys as k
from taste_agent.ui.keys import Paste
from taste_agent.ui.line_editor import Line, edit

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
