"""Who may connect."""

import pytest

from taste_agent.errors import AgentError
from taste_agent.serve.access import Access, is_loopback, refusal


@pytest.mark.parametrize(
    ("host", "inside"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("box.example", False)],
)
def test_what_only_this_machine_reaches(host: str, inside: bool) -> None:
    assert is_loopback(host) is inside


def test_the_network_needs_a_token() -> None:
    Access("127.0.0.1").check()
    Access("0.0.0.0", token="x").check()
    with pytest.raises(AgentError, match="--token"):
        Access("0.0.0.0").check()


@pytest.mark.parametrize(
    ("access", "headers", "code"),
    [
        (Access("127.0.0.1"), {"host": "127.0.0.1:8788"}, None),
        (Access("127.0.0.1"), {"host": "localhost:8788", "origin": "http://localhost:8788"}, None),
        (Access("127.0.0.1"), {"host": "[::1]:8788"}, None),
        (Access("127.0.0.1"), {"host": "rebound.example:8788"}, "host_not_allowed"),
        (
            Access("127.0.0.1"),
            {"host": "rebound.example", "origin": "http://rebound.example"},
            "host_not_allowed",
        ),
        (Access("127.0.0.1"), {"host": "localhost", "origin": "null"}, "origin_not_allowed"),
        (
            Access("127.0.0.1"),
            {"host": "localhost:1", "origin": "http://localhost:2"},
            "origin_not_allowed",
        ),
        (
            Access("127.0.0.1", origins=("http://localhost:2",)),
            {"host": "localhost:1", "origin": "http://localhost:2"},
            None,
        ),
        (Access("0.0.0.0", "s"), {"host": "any.example", "authorization": "Bearer s"}, None),
        (Access("0.0.0.0", "s"), {"host": "any.example", "authorization": "bearer  s"}, None),
        (Access("0.0.0.0", "s"), {"host": "any.example", "authorization": "Bearer ß"}, "invalid_api_key"),
        (Access("0.0.0.0", "s"), {}, "invalid_api_key"),
    ],
)
def test_headers_decide(access: Access, headers: dict[str, str], code: str | None) -> None:
    found = refusal(access, headers)
    assert (found and found.code) == code


def test_a_browser_sends_its_token_as_a_subprotocol() -> None:
    access = Access("0.0.0.0", "s")
    assert refusal(access, {}, ("realtime", "openai-insecure-api-key.s")) is None
    assert refusal(access, {}, secret=False) is None
