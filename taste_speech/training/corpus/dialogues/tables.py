"""Rows that are computed rather than written: what the yaml files of the kinds name under `computed`."""

from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from string import ascii_lowercase

from num2words import num2words

from taste_speech.training.corpus.dialogues.grammar import WORDS

Row = Mapping[str, str]


def number_words(n: int) -> str:
    """Return a number in words without hyphens: "twenty one"."""
    return num2words(n).replace("-", " ")


def _numbers(names: str, values: Iterable[tuple[int, ...]]) -> list[Row]:
    return [dict(zip(names, map(number_words, row), strict=True)) for row in values]


def _counts(numbers: Iterable[tuple[int, range]]) -> list[Row]:
    return [{"n": number_words(n), "list": ", ".join(map(number_words, said))} for n, said in numbers]


def _pairs(top: int) -> list[tuple[int, int]]:
    """Return all pairs of numbers from one to `top`."""
    return [(a, b) for a in range(1, top + 1) for b in range(1, top + 1)]


def _in_circle(name: str, values: list[str]) -> list[dict[str, str]]:
    """Return each value with its rank, the next and the last one."""
    following = [*values[1:], values[0]]
    return [
        {name: value, "next": following[i], "last": values[i - 1], "rank": num2words(i + 1, to="ordinal")}
        for i, value in enumerate(values)
    ]


def _months() -> list[Row]:
    days = WORDS["months"]
    return [row | {"days": number_words(days[row["month"]])} for row in _in_circle("month", list(days))]


def _spelled_words() -> list[Row]:
    return [
        {"word": w, "letters": ", ".join(w), "count": number_words(len(w)), "first": w[0], "final": w[-1]}
        for w in WORDS["spelled"].split()
    ]


TABLES: dict[str, Callable[[], list[Row]]] = {
    "sums": lambda: _numbers("abc", ((a, b, a + b) for a, b in _pairs(20) if a + b <= 20)),
    "differences": lambda: _numbers("abc", ((a, b, a - b) for a, b in _pairs(20) if b <= a)),
    "products": lambda: _numbers("abc", ((a, b, a * b) for a, b in _pairs(10) if a * b <= 20 or a == b)),
    "quotients": lambda: _numbers("abc", ((a * b, b, a) for a, b in _pairs(10) if a * b <= 20)),
    "neighbors": lambda: _numbers("nml", ((n, n + 1, n - 1) for n in range(1, 21))),
    "doubles": lambda: _numbers("nm", ((n, 2 * n) for n in range(1, 11))),
    "parities": lambda: [{"n": number_words(n), "kind": "odd" if n % 2 else "even"} for n in range(1, 21)],
    "comparisons": lambda: _numbers(
        "abc", ((a, b, max(a, b)) for a, b in _pairs(20) if abs(a - b) in (1, 3, 7))
    ),
    "counts": lambda: _counts((n, range(1, n + 1)) for n in (3, 4, 5, 6, 8, 10, 12, 15, 20)),
    "countdowns": lambda: _counts((n, range(n, 0, -1)) for n in (3, 5, 10)),
    "days": lambda: list(_in_circle("day", WORDS["days"])),
    "months": _months,
    "spelled_words": _spelled_words,
    "letters": lambda: [{"letter": a, "next": b} for a, b in pairwise(ascii_lowercase)],
}
