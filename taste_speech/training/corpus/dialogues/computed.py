"""The kinds whose facts are counted rather than listed."""

from taste_speech.training.corpus.dialogues.arithmetic import arithmetic_kinds, number_kinds
from taste_speech.training.corpus.dialogues.calendar import calendar_kinds, letter_kinds
from taste_speech.training.corpus.dialogues.kinds import Kind


def computed_kinds() -> list[Kind]:
    """Return the kinds about numbers, the calendar and letters."""
    return [*arithmetic_kinds(), *number_kinds(), *calendar_kinds(), *letter_kinds()]
