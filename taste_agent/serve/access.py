"""Who may connect: pure decisions about a request's headers."""

import hmac
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from taste_agent.errors import AgentError

TOKEN_PROTOCOL = "openai-insecure-api-key."
"""How a browser, which can send no header of its own, sends its token: as a subprotocol."""
PROTOCOL = "realtime"


@dataclass(frozen=True)
class Access:
    """Whom the server lets in.

    Attributes:
        host: what it listens on.
        token: secret of the clients; empty: none is needed, which is allowed on loopback only.
        origins: pages of other hosts that may connect, each as `scheme`, `://` and host with port.
    """

    host: str
    token: str = ""
    origins: tuple[str, ...] = ()

    def check(self) -> None:
        """See that it is safe.

        Raises:
            AgentError: it would be open to the network without a token.
        """
        if not self.token and not is_loopback(self.host):
            raise AgentError(
                f"--host {self.host} is open to other machines; give a secret with --token, "
                "or leave --host at 127.0.0.1"
            )


@dataclass(frozen=True)
class Refusal:
    """Why a request is refused, as an HTTP status with one line."""

    status: int
    code: str
    message: str


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def refusal(
    access: Access, headers: Mapping[str, str], protocols: Sequence[str] = (), secret: bool = True
) -> Refusal | None:
    """Why a request is refused; None where it is not. `secret` False: it needs no token."""
    host, origin = headers.get("host", ""), headers.get("origin")
    named = urlsplit(f"//{host}").hostname or ""
    if not access.token and not (is_loopback(named) or named == access.host):
        # Another site's name may have been made to lead here.
        return Refusal(403, "host_not_allowed", "this server answers to the name of this machine only")
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
