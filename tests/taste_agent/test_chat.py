"""The start of a chat: what is told, and what is heard, before the model is there."""

import json
import os
import pty
import threading
import time
from contextlib import contextmanager

import pytest

from taste_agent.chat import ChatOptions, run_chat
from taste_agent.config.sources import load_settings
from taste_agent.dialog.brain import Brain
from taste_agent.errors import AgentError
from taste_agent.session.recording import TalkFolder
from taste_agent.ui.chat_views import SPEAK_ALREADY, LiveChat, PlainChat, can_draw
from tests.taste_agent.fakes import FakeBrain


@pytest.fixture
def steps(monkeypatch):
    """What happens, in order; the chat ends as soon as it could be talked with."""
    seen: list[str] = []

    def run(view, engine, figures):
        seen.append("talk")
        return "quit"

    monkeypatch.setattr(PlainChat, "loading", lambda view, checkpoint: seen.append("loading"))
    monkeypatch.setattr(PlainChat, "listening", lambda view, engine, by_ear: seen.append("listening"))
    monkeypatch.setattr(PlainChat, "run", run)
    monkeypatch.setattr(
        "taste_agent.chat_engine.ChatEngine.start", lambda engine, recording: seen.append("start")
    )
    monkeypatch.setattr("sys.stdin", None)
    return seen


def chat(load_brain, prepare=lambda settings: None, **options):
    settings = load_settings(environment={}).settings
    options = {"text_only": True, "json_events": True, **options}
    run_chat(settings, ChatOptions(**options), load_brain, prepare)


def test_it_listens_before_the_model_is_loaded(steps):
    def load(settings) -> Brain:
        steps.append("load")
        return FakeBrain()

    chat(load, lambda settings: steps.append("prepare"))
    assert steps == ["loading", "prepare", "start", "listening", "load", "talk"]


@pytest.mark.parametrize("error", [AgentError("the checkpoint is damaged"), KeyboardInterrupt()])
def test_without_a_model_there_was_no_talk(monkeypatch, capsys, error):
    def load(settings) -> Brain:
        raise error

    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(type(error)):
        chat(load)
    assert capsys.readouterr().out == ""


def test_typed_lines_wait_for_the_model(monkeypatch, capsys, tmp_path):
    lines = tmp_path / "lines.txt"
    lines.write_text("what is the time\n")
    with lines.open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        chat(lambda settings: FakeBrain(replies=["it is five"]))
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[0]["kind"] == "session_started"
    assert [event["text"] for event in events if event["kind"] == "reply_finished"] == ["it is five"]


def test_what_the_checkpoint_cannot_do_is_said_before_the_talk(monkeypatch, capsys, tmp_path):
    lines = tmp_path / "lines.txt"
    lines.write_text("what is the time\n")
    with lines.open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        chat(lambda settings: FakeBrain(replies=["it is five"], notices=("it may ignore the prompt",)))
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    said = [(e["level"], e["text"]) for e in events if e["kind"] == "notice"]
    assert ("warning", "it may ignore the prompt") in said


@pytest.mark.parametrize("text_only", [False, True])
def test_lines_say_that_the_person_may_speak(capfd, monkeypatch, text_only):
    monkeypatch.setattr("sys.stdin", None)
    PlainChat(ChatOptions(text_only=text_only), TalkFolder()).listening(None)
    assert (SPEAK_ALREADY in capfd.readouterr().err) is not text_only


def test_what_would_keep_the_model_from_running_is_told_before_the_person_is_invited(steps, tmp_path):
    def prepare(settings) -> None:
        raise AgentError("device cuda is not available here")

    with pytest.raises(AgentError):
        chat(lambda settings: FakeBrain(), prepare, record=True, out=tmp_path)
    assert steps == ["loading"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("terminal", "draws"), [("xterm-256color", True), ("dumb", False), ("", False)])
def test_a_terminal_that_cannot_draw_gets_lines(terminal, draws):
    controller, device = pty.openpty()
    with os.fdopen(device, "r") as stdin:
        assert can_draw(stdin, stdin, terminal) is draws
    os.close(controller)


@contextmanager
def piped(monkeypatch, *parts):
    """Stdin into which the texts of `parts` come, each number a pause of so many seconds; then it ends."""
    reading, writing = os.pipe()

    def write():
        with os.fdopen(writing, "w") as pipe:
            for part in parts:
                if isinstance(part, str):
                    pipe.write(part)
                    pipe.flush()
                else:
                    time.sleep(part)

    thread = threading.Thread(target=write)
    with os.fdopen(reading) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        thread.start()
        yield
        thread.join()


class SlowBrain(FakeBrain):
    """Thinks for half a second about each part of a reply."""

    def _items(self):
        for item in super()._items():
            time.sleep(0.5)
            yield item


STORY = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"


def test_lines_that_come_together_are_all_answered(monkeypatch, capsys):
    with piped(monkeypatch, "one\ntwo\n", 0.5):
        chat(lambda settings: FakeBrain(replies=["yes", "no"]))
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["text"] for event in events if event["kind"] == "reply_finished"] == ["yes", "no"]


def test_a_line_that_comes_alone_takes_the_floor(monkeypatch, capsys):
    with piped(monkeypatch, "tell me a story\n", 1.5, "stop\n"):
        chat(lambda settings: SlowBrain(replies=[STORY, "yes"]))
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["reason"] for event in events if event["kind"] == "reply_cancelled"] == ["typed"]
    assert events[-1]["reason"] == "end_of_input"


class Engine:
    """An engine that has nothing to do."""

    running = idle = True
    recording = None

    def __init__(self):
        self.events, self.typed = [], []

    def do(self, command):
        self.typed.append(command)

    def notice(self, level, text):
        self.events.append(text)


@pytest.mark.parametrize(("parts", "ends"), [(["hello\n"], True), ([], False)])
def test_a_spoken_talk_ends_with_typed_input_only_if_something_was_typed(monkeypatch, parts, ends):
    with piped(monkeypatch, *parts):
        view, engine = PlainChat(ChatOptions(), TalkFolder()), Engine()
        thread = threading.Thread(target=view.run, args=(engine, None), daemon=True)
        thread.start()
        thread.join(1.0)
        assert thread.is_alive() is not ends
        engine.running = False
        thread.join()


@pytest.fixture
def keyboard(monkeypatch):
    """A terminal as stdin; what is written to it is typed."""
    controller, device = pty.openpty()
    with os.fdopen(device, "r") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        monkeypatch.setattr("taste_agent.chat.can_draw", lambda *_: True)
        yield controller
    os.close(controller)


def test_the_quit_key_works_while_the_model_is_loaded(keyboard, capsys):
    def load(settings) -> Brain:
        os.write(keyboard, b"\x1bq")  # Escape leaves the input line
        time.sleep(60)
        raise AssertionError("not interrupted")

    chat(load, json_events=False)


def test_the_screen_lives_while_the_model_is_loaded(keyboard, monkeypatch):
    drawn = []
    monkeypatch.setattr(LiveChat, "_draw", lambda view: drawn.append(view._state))

    def load(settings) -> Brain:
        os.write(keyboard, b"hello")
        deadline_s = time.monotonic() + 20
        while drawn[-1].elapsed_s < 1.2 or drawn[-1].typing.text != "hello":
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        os.write(keyboard, b"\x1bq")
        time.sleep(60)
        raise AssertionError("not interrupted")

    chat(load, json_events=False)
    assert not drawn[-1].model_loaded


def test_an_error_of_the_screen_ends_the_loading(keyboard, monkeypatch):
    def load(settings) -> Brain:
        monkeypatch.setattr(LiveChat, "_step", lambda *_: 1 / 0)
        time.sleep(60)
        raise AssertionError("not interrupted")

    with pytest.raises(ZeroDivisionError):
        chat(load, json_events=False)


def test_marked_pastes_are_asked_for_and_the_terminal_forgets_it(keyboard, capsys):
    with LiveChat(ChatOptions(text_only=True), TalkFolder()):
        assert "\x1b[?2004h" in capsys.readouterr().out
    assert "\x1b[?2004l" in capsys.readouterr().out
