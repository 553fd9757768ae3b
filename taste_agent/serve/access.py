"""Decides from a request's headers who may connect."""

import hmac
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from taste_agent.errors import AgentError

TOKEN_PROTOCOL = "openai-insecure-api-key."
"""Prefix of the subprotocol that carries a browser's token, because browsers cannot send the header."""
PROTOCOL = "realtime"


@dataclass(frozen=True)
class Access:
    """Who may connect to the server.

    Attributes:
        host: the address to listen on.
        token: secret that clients must send. It may be empty on a loopback address only.
        origins: other origins whose pages may connect, each as `scheme`, `://` and host with port.
    """

    host: str
    token: str = ""
    origins: tuple[str, ...] = ()

    def check(self) -> None:
        """Check that the server is not open to the network without a token.

        Raises:
            AgentError: it would be.
        """
        if not self.token and not is_loopback(self.host):
            raise AgentError(
                f"--host {self.host} is open to other machines; give a secret with --token, "
                "or leave --host at 127.0.0.1"
            )


@dataclass(frozen=True)
class Refusal:
    """The reason why a request is refused, with its HTTP status."""

    status: int
    code: str
    message: str


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach `host`."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def refusal(
    access: Access, headers: Mapping[str, str], protocols: Sequence[str] = (), secret: bool = True
) -> Refusal | None:
    """Return why a request is refused, or None if it is allowed. With `secret` False, no token is needed."""
    host, origin = headers.get("host", ""), headers.get("origin")
    named = urlsplit(f"//{host}").hostname or ""
    if not access.token and not (is_loopback(named) or named == access.host):
        # The name of another site may resolve to this machine (DNS rebinding).
        return Refusal(403, "host_not_allowed", "this server answers only to the name of this machine")
    if origin is not None and origin not in access.origins and urlsplit(origin).netloc != host:
        return Refusal(403, "origin_not_allowed", "pages of this origin may not connect; see --allow-origin")
    if secret and access.token and not _has_token(access.token, headers, protocols):
        return Refusal(401, "invalid_api_key", "the token is missing or wrong; send it as a bearer token")
    return None


def _has_token(token: str, headers: Mapping[str, str], protocols: Sequence[str]) -> bool:
    kind, _, given = headers.get("authorization", "").partition(" ")
    candidates = [given.strip()] if kind.lower() == "bearer" else []
    candidates += [name.removeprefix(TOKEN_PROTOCOL) for name in protocols if name.startswith(TOKEN_PROTOCOL)]
    return any(hmac.compare_digest(token.encode(), found.encode()) for found in candidates)
