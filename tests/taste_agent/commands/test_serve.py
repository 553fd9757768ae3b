"""What `taste-agent serve` checks before the model takes its time."""

import sys

import pytest
import typer.testing

from taste_agent.cli import app
from taste_agent.commands import serve as command
from taste_agent.commands.serve import serve_sessions
from taste_agent.errors import AgentError
from taste_agent.serve import mind, server
from taste_agent.serve.access import Access
from taste_agent.serve.limits import ServeOptions
from taste_speech.errors import CheckpointError
from tests.taste_agent.fakes import settings


def options(host: str = "127.0.0.1") -> ServeOptions:
    return ServeOptions(Access(host), 8788)


@pytest.fixture(autouse=True)
def _nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mind, "load_served_model", lambda _: pytest.fail("the model was loaded"))


def test_it_is_not_open_to_the_network_without_a_token() -> None:
    with pytest.raises(AgentError, match="give a secret with --token"):
        serve_sessions(settings(), options(host="0.0.0.0"))


def test_a_checkpoint_that_is_not_there_is_told_at_once() -> None:
    with pytest.raises(CheckpointError):
        serve_sessions(settings("model.checkpoint=/nowhere"), options())


def test_packages_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("taste_agent.serve.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(
        AgentError, match=r"uvicorn is missing; install it with pip install 'taste-agent\[serve\]'"
    ):
        serve_sessions(settings(), options())


def test_the_command_line_reaches_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[ServeOptions] = []
    monkeypatch.setattr(mind, "load_served_model", lambda _: "model")
    monkeypatch.setattr(server, "serve", lambda model, own, options, tell: served.append(options))
    monkeypatch.setattr(command, "announce_first_use", lambda _: None)
    words = ["serve", "--port", "0", "--max-sessions", "3", "--allow-origin", "http://a", "--idle-limit", "5"]
    result = typer.testing.CliRunner().invoke(app, words, env={"TASTE_SERVE_TOKEN": "secret"})
    assert result.exception is None
    (given,) = served
    assert (given.port, given.max_sessions, given.limits.idle_s) == (0, 3, 5)
    assert (given.access.token, given.access.origins) == ("secret", ("http://a",))


def test_a_wrong_range_of_replicas_is_refused_before_the_model_is_looked_for() -> None:
    with pytest.raises(AgentError, match="--replicas 4:1 is not MIN:MAX"):
        serve_sessions(settings("model.checkpoint=/nowhere"), options(), "local", "4:1")
