"""Errors that a client is told of."""

from typing import Literal

ErrorType = Literal["invalid_request_error", "rate_limit_error", "server_error"]


class ProtocolError(Exception):
    """An `error` event: the session goes on.

    Args:
        code: for programs.
        message: for people: what was given, what is allowed, what to do.
        param: the field that it is about.
        kind: whose fault it is.
    """

    def __init__(
        self, code: str, message: str, param: str | None = None, kind: ErrorType = "invalid_request_error"
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.param, self.kind = code, message, param, kind


class SessionOver(Exception):  # noqa: N818 - an end, which need not be an error
    """The session ends: an `error` event, then the connection is closed.

    Args:
        code: for programs.
        message: for people.
        close_code: of the WebSocket.
        kind: whose fault it is.
    """

    def __init__(
        self, code: str, message: str, close_code: int, kind: ErrorType = "invalid_request_error"
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.close_code, self.kind = code, message, close_code, kind
