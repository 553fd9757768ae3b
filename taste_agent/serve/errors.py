"""Errors that are sent to a client."""

from typing import Literal

ErrorType = Literal["invalid_request_error", "rate_limit_error", "server_error"]


class ProtocolError(Exception):
    """An `error` event, after which the session goes on.

    Args:
        code: code for programs.
        message: message for people: what was given, what is allowed, what to do.
        param: the field in question.
        kind: the protocol's type of error.
    """

    def __init__(
        self, code: str, message: str, param: str | None = None, kind: ErrorType = "invalid_request_error"
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.param, self.kind = code, message, param, kind


class SessionOver(Exception):  # noqa: N818 - an end, which need not be an error
    """The end of a session: an `error` event, after which the connection is closed.

    Args:
        code: code for programs.
        message: message for people; empty for a normal end.
        close_code: close code of the WebSocket.
        kind: the protocol's type of error.
    """

    def __init__(
        self, code: str, message: str, close_code: int, kind: ErrorType = "invalid_request_error"
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.close_code, self.kind = code, message, close_code, kind
