"""Errors that a user of the package can cause.

Each message is one line: what was given, what is allowed, what to do next.
"""


class TasteError(Exception):
    """Base class of this package's own errors."""


class CheckpointError(TasteError):
    """A checkpoint is missing, incomplete or does not fit its configuration."""


class AudioError(TasteError, ValueError):
    """Audio that the model cannot take (empty, NaN, too long, wrong shape or rate)."""


class TextError(TasteError, ValueError):
    """Text or text tokens that the model cannot take (empty, special tokens, too long)."""
