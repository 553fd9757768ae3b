"""The start of a chat: what is told, and what is heard, before the model is there."""

import json

import pytest

from taste_agent.chat import ChatOptions, run_chat
from taste_agent.config_sources import load_settings
from taste_agent.dialog.brain import Brain
from taste_agent.errors import AgentError
from taste_agent.ui.chat_screen import SPEAK_ALREADY, PlainChat
from tests.taste_agent.fakes import FakeBrain


@pytest.fixture
def steps(monkeypatch):
    """What happens, in order; the chat ends as soon as it could be talked with."""
    seen: list[str] = []

    def run(view, engine, figures):
        seen.append("talk")
        return "quit"

    monkeypatch.setattr(PlainChat, "loading", lambda view, checkpoint: seen.append("loading"))
    monkeypatch.setattr(PlainChat, "listening", lambda view: seen.append("listening"))
    monkeypatch.setattr(PlainChat, "run", run)
    monkeypatch.setattr("taste_agent.chat_engine.ChatEngine.start", lambda engine: seen.append("start"))
    monkeypatch.setattr("sys.stdin", None)
    return seen


def chat(load_brain, prepare=lambda: None):
    settings = load_settings(environment={}).settings
    run_chat(settings, ChatOptions(text_only=True, json_events=True), load_brain, prepare)


def test_it_listens_before_the_model_is_loaded(steps):
    def load(settings) -> Brain:
        steps.append("load")
        return FakeBrain()

    chat(load, lambda: steps.append("prepare"))
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


@pytest.mark.parametrize("text_only", [False, True])
def test_lines_say_that_the_person_may_speak(capfd, monkeypatch, text_only):
    monkeypatch.setattr("sys.stdin", None)
    PlainChat(ChatOptions(text_only=text_only)).listening()
    assert (SPEAK_ALREADY in capfd.readouterr().err) is not text_only
