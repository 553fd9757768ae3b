"""Errors that users of the package can cause.

Each message is one line that says what was given, what is allowed and what to do next.
"""


class TasteError(Exception):
    """Base class of this package's errors."""


class CheckpointError(TasteError):
    """A checkpoint is missing or incomplete, or it does not match its configuration."""


class AudioError(TasteError, ValueError):
    """Audio that the model cannot use: empty, NaN, too long, or of the wrong shape or rate."""


class TextError(TasteError, ValueError):
    """Text or text tokens that the model cannot use: empty, too long, or with special tokens."""
