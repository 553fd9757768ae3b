"""Word error rate."""

import re
from collections.abc import Sequence

_NOT_SPOKEN = re.compile(r"[^a-z0-9' ]+")


def spoken_words(text: str) -> list[str]:
    """Words of `text` as they are compared: lower case, punctuation gone, hyphens as spaces."""
    return _NOT_SPOKEN.sub(" ", text.lower().replace("’", "'")).split()


def edit_distance(reference: Sequence[object], hypothesis: Sequence[object]) -> int:
    """Fewest substitutions, insertions and deletions that turn one sequence into the other."""
    row = list(range(len(hypothesis) + 1))
    for i, expected in enumerate(reference, 1):
        diagonal, row[0] = row[0], i
        for j, given in enumerate(hypothesis, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (expected != given))
    return row[-1]


def word_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Errors of all sentences divided by the words of all references."""
    pairs = [(spoken_words(r), spoken_words(h)) for r, h in zip(references, hypotheses, strict=True)]
    return sum(edit_distance(r, h) for r, h in pairs) / max(1, sum(len(r) for r, _ in pairs))
