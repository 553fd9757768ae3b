"""A rule rewrites what a pattern finds; the modules beside this one hold lists of them, applied in order."""

import re
from collections.abc import Callable, Iterable, Mapping

Rewrite = Callable[[re.Match[str]], str]
Rule = tuple[re.Pattern[str], Rewrite | str]

NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d*\.\d+|\d+)"
"""A number as it is written: "1,234.5", "12", ".5"."""


def apply(rules: Iterable[Rule], text: str) -> str:
    """`text` after all rules, in order."""
    for pattern, rewrite in rules:
        text = pattern.sub(rewrite, text)
    return text


def one_of(words: Iterable[str]) -> str:
    """Pattern of any of these texts, the longest first."""
    return "(?:" + "|".join(map(re.escape, sorted(words, key=len, reverse=True))) + ")"


def looked_up(table: Mapping[str, str]) -> Rewrite:
    """What stands in `table` for the whole of what was found."""
    return lambda found: table[found[0]]


def listed(words: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(words.split())


def table(rows: str) -> dict[str, str]:
    """What stands behind each sign: "Dr. Doctor; Mt. Mount"."""
    return dict(row.strip().split(" ", 1) for row in rows.split(";"))
