"""Removes the agent's own words, heard as an echo, from recognized text."""

import re
from collections import deque
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from itertools import groupby

from taste_agent.clock import ENGINE_RATE_HZ
from taste_speech.recognition.base import Recognition, RecognizedWord
from taste_speech.words import Word

# Echoes are recognized poorly: words count as equal if their letters are at least this similar.
SAME_WORD = 0.65
MIN_ROUGH_LETTERS = 3
# Above this share of echoed words the rest counts as misheard echo.
MOSTLY_ECHO = 0.7
# Below it, only runs of this many echoed words are dropped, because both sides say "the" and "is".
MIN_RUN = 3
REMEMBERED_WORDS = 400
# Tolerance for the end of a word, recognized or played.
TIMING_S = 0.2


class EchoGate:
    """Remembers played words, and finds them among recognized ones. Safe between two threads."""

    def __init__(self, reach_s: Callable[[], float] = lambda: 0.0) -> None:
        """`reach_s` returns how long after a word its echo may currently be heard."""
        self._reach_s = reach_s
        self._played: deque[Word] = deque(maxlen=REMEMBERED_WORDS)
        self.dropped_words = 0

    def played(self, word: Word) -> None:
        """Note a word of the agent that was heard up to its `end`, an input sample."""
        self._played.append(word)

    def partial(self, text: str, start: int, samples: int) -> tuple[str, str]:
        """Split partial text into the person's words and the agent's own; see `filter`."""
        own, echo = self._sort([RecognizedWord(word) for word in text.split()], start, samples)
        return " ".join(word.text for word in own) if echo else text, " ".join(echo)

    def filter(self, recognition: Recognition, start: int, samples: int) -> tuple[Recognition, str]:
        """Remove the agent's own words from the recognition of `samples` that begin at input sample `start`.

        Returns:
            The remaining recognition, unchanged if nothing was removed, and the text of the removed words.
        """
        own, echo = self._sort(recognition.words, start, samples)
        if not echo:
            return recognition, ""
        self.dropped_words += len(echo)
        return Recognition(" ".join(word.text for word in own), tuple(own)), " ".join(echo)

    def _sort(
        self, words: Sequence[RecognizedWord], start: int, samples: int
    ) -> tuple[list[RecognizedWord], list[str]]:
        reach = round((self._reach_s() + TIMING_S) * ENGINE_RATE_HZ)
        played = [word for word in tuple(self._played) if word.end >= start - reach]
        marks = own_words([_end_of(word, start, samples) for word in words], played, reach)
        both = list(zip(words, marks, strict=True))
        return [word for word, own in both if own], [word.text for word, own in both if not own]


def _end_of(word: RecognizedWord, start: int, samples: int) -> Word:
    """Return the word with the span in which it must have ended: the whole audio if it has no time."""
    if word.end_s is None:
        return Word(word.text, start=start, end=start + samples)
    end = start + round(word.end_s * ENGINE_RATE_HZ)
    return Word(word.text, start=end, end=end)


def own_words(heard: Sequence[Word], played: Sequence[Word], reach: int) -> list[bool]:
    """Return for each recognized word whether it is the person's own.

    Words are matched in order by the similarity of their letters, if one can be the echo of the other. If
    most of them match, no word is the person's own; otherwise only runs of matching words are the agent's.

    Args:
        heard: recognized words, each with the span of input samples in which it must have ended.
        played: the agent's words, each with the input sample at which it was heard to its end.
        reach: number of samples after a word in which its echo may be heard.
    """
    matched = _match_in_order([[_is_echo(one, other, reach) for other in played] for one in heard])
    share = sum(matched) / len(matched) if matched else 0.0
    if share >= MOSTLY_ECHO:
        return [False] * len(matched)
    own: list[bool] = []
    for is_echo, run in groupby(matched):
        length = len(list(run))
        own += [not (is_echo and length >= MIN_RUN)] * length
    return own


def _is_echo(heard: Word, played: Word, reach: int) -> bool:
    if not heard.start - reach <= played.end <= heard.end + round(TIMING_S * ENGINE_RATE_HZ):
        return False
    one, other = (re.sub(r"[^\w]", "", word.text).lower() for word in (heard, played))
    if one == other:
        return bool(one)
    long_enough = min(len(one), len(other)) >= MIN_ROUGH_LETTERS
    return long_enough and SequenceMatcher(None, one, other).ratio() >= SAME_WORD


def _match_in_order(alike: list[list[bool]]) -> list[bool]:
    """Mark the rows in a longest common subsequence, given the matrix `alike` of equal elements."""
    rows, columns = len(alike), len(alike[0]) if alike else 0
    best = [[0] * (columns + 1) for _ in range(rows + 1)]
    for i in range(rows - 1, -1, -1):
        for j in range(columns - 1, -1, -1):
            paired = best[i + 1][j + 1] + 1 if alike[i][j] else 0
            best[i][j] = max(paired, best[i + 1][j], best[i][j + 1])
    marks = [False] * rows
    i = j = 0
    while i < rows and j < columns:
        if alike[i][j] and best[i][j] == best[i + 1][j + 1] + 1:
            marks[i] = True
            i, j = i + 1, j + 1
        elif best[i + 1][j] >= best[i][j + 1]:
            i += 1
        else:
            j += 1
    return marks
