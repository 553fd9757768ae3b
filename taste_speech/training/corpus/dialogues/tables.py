"""Rows that are computed rather than written: what the yaml files of the kinds name under `computed`."""

import itertools
from collections.abc import Callable, Iterable, Mapping

from taste_speech.training.corpus.lexicon import listed

Row = Mapping[str, str]
UNITS = listed("""
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen
""")
TENS = listed("twenty thirty forty fifty sixty seventy eighty ninety")
DAYS = listed("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MONTHS = listed("""
January February March April May June July August September October November December
""")
MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
ORDINALS = listed("first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth")
SPELLED = listed("""
cat dog house tree apple water school friend bread happy green table orange summer mother horse banana
window garden music yellow rabbit flower pencil bridge cheese doctor family hello island king lemon moon
night ocean paper queen river sugar tiger uncle winter zebra
""")
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def number_words(n: int) -> str:
    """Return `n` from 0 to 100 in words."""
    if n < 20:
        return UNITS[n]
    if n == 100:
        return "one hundred"
    return TENS[n // 10 - 2] + (f" {UNITS[n % 10]}" if n % 10 else "")


def _numbers(names: str, values: Iterable[tuple[int, ...]]) -> list[Row]:
    return [dict(zip(names, map(number_words, row), strict=True)) for row in values]


def _counts(numbers: Iterable[tuple[int, range]]) -> list[Row]:
    return [{"n": number_words(n), "list": ", ".join(map(number_words, said))} for n, said in numbers]


def _pairs(top: int) -> list[tuple[int, int]]:
    """Return all pairs of numbers from one to `top`."""
    numbers = range(1, top + 1)
    return [(a, b) for a in numbers for b in numbers]


def _around(name: str, values: list[str]) -> list[dict[str, str]]:
    """Return each value with the next and the last one, in a circle."""
    return [
        {name: value, "next": values[(i + 1) % len(values)], "last": values[i - 1]}
        for i, value in enumerate(values)
    ]


def _days() -> list[Row]:
    return [row | {"rank": rank} for row, rank in zip(_around("day", DAYS), ORDINALS, strict=False)]


def _months() -> list[Row]:
    about = zip(_around("month", MONTHS), ORDINALS, MONTH_DAYS, strict=True)
    return [row | {"rank": rank, "days": number_words(days)} for row, rank, days in about]


def _spelled_words() -> list[Row]:
    return [
        {"word": w, "letters": ", ".join(w), "count": number_words(len(w)), "first": w[0], "final": w[-1]}
        for w in SPELLED
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
    "days": _days,
    "months": _months,
    "spelled_words": _spelled_words,
    "letters": lambda: [{"letter": a, "next": b} for a, b in itertools.pairwise(LETTERS)],
}
